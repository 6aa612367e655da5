"""centrifuge-js under Node over each of its transports, JSON and Protobuf, against two nodes."""

import json

import pytest

from tests.integration.backend import publish
from tests.integration.cluster import Cluster
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.proxy import Proxy, RoundRobinProxy
from tests.integration.sdk_contract import MakeSdk, Sdk, SdkContract

pytestmark = NEEDS_NODE


class TestCentrifugeJs(SdkContract):
    """See SdkContract."""

    @pytest.fixture
    def sdk(self) -> MakeSdk:
        def make(url: str, encoding: str, *tokens: str) -> Sdk:
            return Program("centrifuge.mjs", url, encoding, *tokens)

        return make


class EmulatedContract(SdkContract):
    """The same over a stream; whatever the client says goes to the node that does not have its session."""

    transport: str
    only_encoding = ""

    @pytest.fixture
    def sdk(self, cluster: Cluster, proxy: Proxy) -> MakeSdk:
        here, there = cluster.nodes
        wrong = {here.ws: there.http, there.ws: here.http, proxy.ws: here.http}

        def make(url: str, encoding: str, *tokens: str) -> Sdk:
            address = url.removesuffix("/connection/websocket")
            http = address.replace("ws://", "http://")
            endpoint = f"{http}/connection/{self.transport}"
            where = {
                "transports": [{"transport": self.transport, "endpoint": endpoint}],
                # A node of another cluster has its own POSTs.
                "emulation": f"{wrong.get(address, http)}/emulation",
            }
            return Program("centrifuge.mjs", json.dumps(where), self.only_encoding or encoding, *tokens)

        return make


class TestHttpStream(EmulatedContract):
    """`/connection/http_stream`."""

    transport = "http_stream"


class TestSse(EmulatedContract):
    """`/connection/sse`, which speaks JSON alone: with Protobuf the SDK would not understand it."""

    transport = "sse"
    only_encoding = "json"

    @pytest.fixture
    def encoding(self) -> str:
        return self.only_encoding


BROKEN_WEBSOCKET = {"transport": "websocket", "endpoint": "{ws}/nowhere"}
WEBSOCKET = {"transport": "websocket", "endpoint": "{ws}/connection/websocket"}
BROKEN_HTTP_STREAM = {"transport": "http_stream", "endpoint": "{http}/nowhere"}
HTTP_STREAM = {"transport": "http_stream", "endpoint": "{http}/connection/http_stream"}
SSE = {"transport": "sse", "endpoint": "{http}/connection/sse"}


@pytest.mark.parametrize(
    ("transports", "taken"),
    [
        ([WEBSOCKET, HTTP_STREAM, SSE], "websocket"),
        ([BROKEN_WEBSOCKET, HTTP_STREAM, SSE], "http_stream"),
        ([BROKEN_WEBSOCKET, BROKEN_HTTP_STREAM, SSE], "sse"),
    ],
)
def test_a_client_falls_back_and_recovers_behind_a_balancer(
    cluster: Cluster, channel: str, transports: list[dict[str, str]], taken: str
) -> None:
    """The first transport of the list that works does everything, though each request may go to any node."""
    with RoundRobinProxy(cluster.nodes) as balancer:
        urls = {"ws": balancer.ws, "http": balancer.http}
        filled = [{**entry, "endpoint": entry["endpoint"].format(**urls)} for entry in transports]
        where = {"transports": filled, "emulation": f"{balancer.http}/emulation"}
        with Program("centrifuge.mjs", json.dumps(where), "json") as client:
            client.do("connect")
            assert client.expect("connected")["transport"] == taken
            client.do("subscribe", channel=channel)
            client.expect("subscribed", channel=channel)
            for number in range(10):
                client.do("publish", channel=channel, data=number)
            assert client.received(channel, 9) == list(range(10))
            balancer.cut()
            client.expect("connecting")
            publish(cluster.nodes[0], channel, "missed")
            balancer.target = cluster.nodes[0]
            assert client.expect("subscribed", channel=channel)["recovered"]
            assert client.received(channel, "missed") == ["missed"]
            assert len(client.do("history", channel=channel, limit=-1)["publications"]) == 11
