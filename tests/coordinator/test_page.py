"""What the operator's page does with a connection, without a browser; others are in tests/integration."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.javascript import NODE
from tests.patience import PATIENCE_S

HERE = Path(__file__).parent
API = HERE.parents[1] / "coordinator" / "page" / "api.js"


@pytest.mark.skipif(not NODE, reason="no `node` on the PATH")
def test_a_connection_that_is_silent_is_given_up() -> None:
    """Nothing for 25 s, not even a comment: the page says that it is not up to date, and asks again."""
    program = [NODE, str(HERE / "page_silence.mjs"), str(API)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    seen = json.loads(done.stdout)
    assert seen["shown"] == [{"nodes": 1}]
    assert [ms for waits in seen["waits"] for _, ms in waits] == [25_000] * 3
    assert len({number for waits in seen["waits"] for number, _ in waits}) == 3, "each word begins it anew"
    assert (seen["ended"], seen["left"]) == ("nothing came for 25 s", 0)
