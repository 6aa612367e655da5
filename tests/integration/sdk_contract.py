"""What every SDK gets from a cluster, as tests: `class TestX(SdkContract)` runs them against SDK X.

The class that inherits has `sdk`, which makes a client. All SDKs take the same commands and tell the same
events, so the tests do not know which language they talk to.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from cent import CentApiResponseError

from node.access.tokens import make_token
from node.config.options import TokenOptions
from tests.integration.backend import publish
from tests.integration.cluster import HMAC_KEY, Cluster
from tests.integration.events import Event, Failed
from tests.integration.proxy import Proxy
from tests.patience import PATIENCE_S

ENCODINGS = ("json", "protobuf")
CHANNEL_LIMIT = 128
INTERNAL_ERROR = 100


class Sdk(AbstractContextManager["Sdk"], Protocol):
    """A client of an SDK; leaving the context ends it."""

    def do(self, command: str, **fields: Any) -> Any:
        """connect, subscribe, unsubscribe, publish or history; raises Failed."""

    def expect(self, event: str, **fields: Any) -> Event:
        """See Events."""

    def left(self, *names: str) -> list[Event]:
        """See Events."""

    def received(self, channel: str, last: Any) -> list[Any]:
        """See Events."""


class MakeSdk(Protocol):
    """How a client is made."""

    def __call__(self, url: str, encoding: str, *tokens: str) -> Sdk:
        """A client of `url`; the first token is its own, the others it gets when it asks for a new one."""


def token(user: str, ttl_s: float = 3600) -> str:
    """A token that the nodes take."""
    options = TokenOptions(hmac_secret_key=HMAC_KEY)
    return make_token(options, user, now=time.time(), ttl_s=ttl_s)


class Clients(ExitStack):
    """Makes connected clients, and ends them."""

    def __init__(self, sdk: MakeSdk) -> None:
        super().__init__()
        self._sdk = sdk

    def connect(self, url: str, encoding: str, *tokens: str) -> Sdk:
        client = self.start(url, encoding, *tokens)
        client.expect("connected")
        return client

    def make(self, url: str, encoding: str, *tokens: str) -> Sdk:
        return self.enter_context(self._sdk(f"{url}/connection/websocket", encoding, *tokens))

    def start(self, url: str, encoding: str, *tokens: str) -> Sdk:
        client = self.make(url, encoding, *tokens)
        client.do("connect")
        client.expect("connecting")
        return client

    def subscribe(self, url: str, encoding: str, channel: str) -> Sdk:
        client = self.connect(url, encoding)
        client.do("subscribe", channel=channel)
        client.expect("subscribing", channel=channel)
        client.expect("subscribed", channel=channel)
        return client


class SdkContract:
    """The tests."""

    @pytest.fixture
    def sdk(self) -> MakeSdk:
        raise NotImplementedError

    @pytest.fixture
    def clients(self, sdk: MakeSdk) -> Iterator[Clients]:
        with Clients(sdk) as clients:
            yield clients

    @pytest.fixture(params=ENCODINGS)
    def encoding(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_a_publication_crosses_nodes_with_its_publisher(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """A client with a token publishes on one node; an anonymous one on the other reads who it was."""
        ann = clients.connect(cluster.nodes[0].ws, encoding, token("ann"))
        reader = clients.subscribe(cluster.nodes[1].ws, encoding, channel)
        ann.do("publish", channel=channel, data={"text": "héllo\n"})
        publication = reader.expect("publication", channel=channel)
        assert publication["data"] == {"text": "héllo\n"}
        assert publication["user"] == "ann"
        assert publication["offset"] > 0

    def test_publications_come_in_order(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """What was accepted one after the other, on whichever node, is received in that order, once."""
        readers = [clients.subscribe(node.ws, encoding, channel) for node in cluster.nodes]
        for number in range(0, 60, 20):
            for node in cluster.nodes:
                start = number + 10 * cluster.nodes.index(node)
                publish(node, channel, *range(start, start + 10))
        for reader in readers:
            assert reader.received(channel, last=59) == list(range(60))

    def test_after_unsubscribing_nothing_comes(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """A client that left a channel gets what is published in others, and nothing more of this one."""
        client = clients.subscribe(cluster.nodes[0].ws, encoding, channel)
        client.do("subscribe", channel=f"{channel}-other")
        client.expect("subscribed", channel=f"{channel}-other")
        client.do("unsubscribe", channel=channel)
        client.expect("unsubscribed", channel=channel)
        # A command of its own comes after the unsubscribe on the same connection.
        client.do("history", channel=channel, limit=0)
        publish(cluster.nodes[0], channel, "unwanted")
        publish(cluster.nodes[0], f"{channel}-other", "last")
        assert client.received(f"{channel}-other", "last") == ["last"]
        assert client.left("publication") == []

    def test_history_is_read_by_position(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """The position alone, all of it, some from a position on, and backwards."""
        publish(cluster.nodes[0], channel, *range(5))
        client = clients.connect(cluster.nodes[1].ws, encoding)

        def history(limit: int, since: Event | None = None, *, reverse: bool = False) -> Event:
            page: Event = client.do("history", channel=channel, limit=limit, since=since, reverse=reverse)
            return {**page, "data": [publication["data"] for publication in page["publications"]]}

        top = history(0)
        whole = history(-1)
        assert top["data"] == []
        assert whole["data"] == list(range(5))
        assert top["offset"] == whole["offset"] == whole["publications"][-1]["offset"]
        assert top["epoch"] == whole["epoch"] != ""
        since = {"offset": whole["publications"][1]["offset"], "epoch": whole["epoch"]}
        assert history(2, since)["data"] == [2, 3]
        assert history(2, reverse=True)["data"] == [4, 3]
        with pytest.raises(Failed) as failure:
            history(2, {**since, "epoch": "another"})
        assert failure.value.code == 112

    @pytest.mark.parametrize(("channel", "code"), [("closed:x", 103), ("undefined:x", 102)])
    def test_a_channel_may_be_refused(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str, code: int
    ) -> None:
        """A subscription that is not permitted, or names no namespace, ends for good; the client lives."""
        client = clients.connect(cluster.nodes[0].ws, encoding)
        client.do("subscribe", channel=channel)
        assert client.expect("unsubscribed", channel=channel)["code"] == code
        with pytest.raises(Failed) as failure:
            client.do("publish", channel=channel, data={})
        assert failure.value.code == code
        assert client.left("connecting", "disconnected") == []

    def test_a_cut_client_recovers_on_the_other_node(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str, proxy: Proxy
    ) -> None:
        """What was published while a client was cut off comes after it, once and in order."""
        here, there = cluster.nodes
        client = clients.subscribe(proxy.ws, encoding, channel)
        publish(here, channel, "before")
        assert client.received(channel, "before") == ["before"]
        proxy.cut()
        client.expect("connecting")
        publish(here, channel, "missed 1", "missed 2")
        publish(there, channel, "missed 3")
        proxy.target = there
        again = client.expect("subscribed", channel=channel)
        assert again["was_recovering"]
        assert again["recovered"]
        publish(here, channel, "after")
        assert client.received(channel, "after") == ["missed 1", "missed 2", "missed 3", "after"]

    @pytest.mark.parametrize(("missed", "recovered"), [(2, True), (3, False), (5, False)])
    def test_a_client_that_missed_too_much_is_told(
        self,
        cluster: Cluster,
        clients: Clients,
        encoding: str,
        channel: str,
        proxy: Proxy,
        missed: int,
        recovered: bool,
    ) -> None:
        """What a history of two cannot hold is not recovered, and what comes afterwards does come."""
        channel = f"smallhistory:{channel}"
        client = clients.subscribe(proxy.ws, encoding, channel)
        publish(cluster.nodes[0], channel, "before")
        assert client.received(channel, "before") == ["before"]
        proxy.cut()
        client.expect("connecting")
        publish(cluster.nodes[0], channel, *range(missed))
        proxy.target = cluster.nodes[1]
        again = client.expect("subscribed", channel=channel)
        assert again["was_recovering"]
        assert again["recovered"] is recovered
        publish(cluster.nodes[0], channel, "after")
        assert client.received(channel, "after") == [*(range(missed) if recovered else ()), "after"]

    def test_an_expired_token_is_replaced(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """Error 109: the SDK asks its application for a new token and connects with it."""
        client = clients.connect(cluster.nodes[0].ws, encoding, token("ann", ttl_s=-10), token("ann"))
        client.expect("token wanted")
        reader = clients.subscribe(cluster.nodes[0].ws, encoding, channel)
        client.do("publish", channel=channel, data=1)
        assert reader.expect("publication")["user"] == "ann"
        assert client.left("token wanted", "disconnected") == []

    def test_a_forged_token_is_final(self, cluster: Cluster, clients: Clients, encoding: str) -> None:
        """A client with a token of another key is told so and does not come back."""
        forged = make_token(TokenOptions(hmac_secret_key="another" * 9), "ann", now=time.time())
        client = clients.start(cluster.nodes[0].ws, encoding, forged)
        assert client.expect("disconnected")["code"] == 3500

    def test_channels_are_subscribed_with_the_connect(
        self, cluster: Cluster, clients: Clients, encoding: str, channel: str
    ) -> None:
        """Subscriptions made before the connection come with it, as many as a client may have."""
        client = clients.make(cluster.nodes[0].ws, encoding)
        channels = [f"{channel}-{number}" for number in range(CHANNEL_LIMIT + 1)]
        for name in channels:
            client.do("subscribe", channel=name)
        client.do("connect")
        for name in channels[:CHANNEL_LIMIT]:
            client.expect("subscribed", channel=name)
        assert client.expect("unsubscribed", channel=channels[-1])["code"] == 106
        publish(cluster.nodes[1], channels[CHANNEL_LIMIT - 1], "here")
        assert client.expect("publication")["data"] == "here"

    @pytest.mark.parametrize("command", ["presence", "presence_stats", "rpc"])
    def test_what_is_not_offered_says_so(
        self, cluster: Cluster, clients: Clients, encoding: str, command: str
    ) -> None:
        """Error 108, and the client lives."""
        client = clients.connect(cluster.nodes[0].ws, encoding)
        with pytest.raises(Failed) as failure:
            client.do(command)
        assert failure.value.code == 108
        client.do("publish", channel="room", data="alive")

    # What takes its time is tried with all encodings at once.

    def test_nothing_is_lost_in_a_flow_of_publications(
        self, cluster: Cluster, clients: Clients, channel: str, proxy: Proxy
    ) -> None:
        """Clients cut and moved again and again while publishing goes on have everything, once, in order."""
        subscribed = [clients.subscribe(proxy.ws, encoding, channel) for encoding in ENCODINGS]
        enough = threading.Event()
        published: list[int] = []

        def publish_all() -> None:
            while not enough.is_set():
                published.append(len(published))
                publish(cluster.nodes[len(published) % 2], channel, published[-1])

        with ThreadPoolExecutor(1) as publisher:
            publishing = publisher.submit(publish_all)
            try:
                for node in (cluster.nodes[1], cluster.nodes[0], cluster.nodes[1]):
                    proxy.cut()
                    for client in subscribed:
                        client.expect("connecting")
                    proxy.target = node
                    for client in subscribed:
                        assert client.expect("subscribed", channel=channel)["recovered"]
            finally:
                enough.set()
            publishing.result()
        for client in subscribed:
            assert client.received(channel, published[-1]) == published

    def test_expiring_tokens_are_refreshed(self, cluster: Cluster, clients: Clients) -> None:
        """A connection outlives its first token, and pings: the SDK brings the next one, and answers them."""
        tokens = [token("ann", ttl_s=3), token("ann", ttl_s=5), token("ann")]
        connected = [clients.connect(cluster.nodes[0].ws, encoding, *tokens) for encoding in ENCODINGS]
        for client in connected:
            # That it asks twice shows that the node answered the first refresh.
            client.expect("token wanted")
            client.expect("token wanted")
            client.do("publish", channel="refreshed", data=1)
            assert client.left("connecting", "disconnected") == []

    def test_clients_of_a_node_that_stops_go_to_another(
        self, cluster: Cluster, clients: Clients, channel: str, proxy: Proxy
    ) -> None:
        """SIGTERM: every client reads 3001, finds another node, and has what was published meanwhile."""
        leaving = cluster.start_node("leaving")
        proxy.target = leaving
        subscribed = [clients.subscribe(proxy.ws, encoding, channel) for encoding in ENCODINGS]
        proxy.target = None
        assert leaving.stop() == 0
        publish(cluster.nodes[0], channel, "meanwhile")
        proxy.target = cluster.nodes[1]
        for client in subscribed:
            assert client.expect("connecting")["code"] == 3001
            assert client.expect("subscribed", channel=channel)["recovered"]
            assert client.received(channel, "meanwhile") == ["meanwhile"]

    def test_clients_stay_while_nats_restarts(self, clients: Clients, channel: str, tmp_path: Path) -> None:
        """Connections and subscriptions live through a restart of NATS, and publications go on."""
        with Cluster(tmp_path) as cluster:
            assert cluster.nats is not None
            subscribed = [
                clients.subscribe(node.ws, encoding, channel)
                for node in cluster.nodes
                for encoding in ENCODINGS
            ]
            publish(cluster.nodes[0], channel, "before")
            cluster.nats.stop()
            cluster.nats.start()
            publish_until_accepted(cluster, channel, "after")
            for client in subscribed:
                assert client.received(channel, "after") == ["before", "after"]
                assert client.left("connecting", "disconnected", "subscribing") == []
            clients.close()


def publish_until_accepted(cluster: Cluster, channel: str, value: str) -> None:
    """Publish, again while the node has no NATS; a publish waits for it by itself for a while."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return publish(cluster.nodes[0], channel, value)
        except CentApiResponseError as error:
            if error.code != INTERNAL_ERROR:
                raise
    raise AssertionError("the nodes did not find NATS again")
