"""centrifuge-js under Node, JSON and Protobuf, against two nodes."""

import pytest

from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.sdk_contract import MakeSdk, Sdk, SdkContract

pytestmark = NEEDS_NODE


class TestCentrifugeJs(SdkContract):
    """See SdkContract."""

    @pytest.fixture
    def sdk(self) -> MakeSdk:
        def make(url: str, encoding: str, *tokens: str) -> Sdk:
            return Program("centrifuge.mjs", url, encoding, *tokens)

        return make
