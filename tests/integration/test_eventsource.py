"""A real EventSource on `/sse`, against two nodes: it knows the standard, and nothing of us."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import pytest

from tests.integration.backend import publish
from tests.integration.cluster import Cluster
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.proxy import Proxy
from tests.integration.sdk_contract import token

pytestmark = NEEDS_NODE


def query(*channels: str) -> str:
    return "&".join(f"channel={quote(channel)}" for channel in channels)


class Sources(ExitStack):
    """Opens event sources, and ends them."""

    def open(self, url: str) -> Program:
        return self.enter_context(Program("eventsource.mjs", url))

    def subscribe(self, url: str, *channels: str) -> Program:
        source = self.open(f"{url}/sse?{query(*channels)}")
        source.expect("open")
        for channel in channels:
            source.expect("subscribed", channel=channel)
        return source


@pytest.fixture
def sources() -> Iterator[Sources]:
    with Sources() as sources:
        yield sources


@pytest.mark.parametrize("suffixes", [[""], ["", " & others"]], ids=["one channel", "two channels"])
def test_a_cut_source_recovers_on_the_other_node(
    cluster: Cluster, sources: Sources, channel: str, proxy: Proxy, suffixes: list[str]
) -> None:
    """What was published while it was cut off comes after it, once and in order, in every channel."""
    here, there = cluster.nodes
    names = [channel + suffix for suffix in suffixes]
    source = sources.subscribe(proxy.http, *names)
    publish(here, channel, "before")
    assert source.received(channel, "before") == ["before"]
    for number, (node, missed) in enumerate([(there, ["a"]), (here, ["b", "c"]), (there, [])]):
        proxy.cut()
        assert source.expect("error")["state"] == "CONNECTING"
        for name in names:
            publish(here, name, *missed)
        proxy.target = node
        for name in names:
            assert source.expect("subscribed", channel=name)["recovered"]
            # The last event before the next cut is another channel's each time.
            publish(there, name, number)
            assert source.received(name, number) == [*missed, number]
        names.reverse()


def test_a_source_that_missed_too_much_is_told(
    cluster: Cluster, sources: Sources, channel: str, proxy: Proxy
) -> None:
    """Of the channel whose history was too short it reads so, of the other it has all."""
    short = f"smallhistory:{channel}"
    source = sources.subscribe(proxy.http, channel, short)
    publish(cluster.nodes[0], channel, "before")
    assert source.received(channel, "before") == ["before"]
    proxy.cut()
    source.expect("error")
    for name in (channel, short):
        publish(cluster.nodes[0], name, *range(5))
    proxy.target = cluster.nodes[1]
    assert source.expect("subscribed", channel=channel)["recovered"]
    assert not source.expect("subscribed", channel=short)["recovered"]
    for name in (channel, short):
        publish(cluster.nodes[0], name, "after")
    assert source.received(channel, "after") == [*range(5), "after"]
    assert source.received(short, "after") == ["after"]


def test_a_source_comes_back_from_a_node_that_stops(
    cluster: Cluster, sources: Sources, channel: str, proxy: Proxy
) -> None:
    """SIGTERM: the source reads that the node goes, and comes back to another without losing anything."""
    leaving = cluster.start_node("leaving")
    proxy.target = leaving
    source = sources.subscribe(proxy.http, channel)
    # Nobody listens where it is sent at first.
    proxy.target = None
    assert leaving.stop() == 0
    goodbye = source.expect("disconnect")
    assert goodbye["code"] == 3001
    assert goodbye["reconnect"]
    publish(cluster.nodes[0], channel, "meanwhile")
    assert source.expect("error")["state"] == "CONNECTING"
    proxy.target = cluster.nodes[1]
    assert source.expect("subscribed", channel=channel)["recovered"]
    assert source.received(channel, "meanwhile") == ["meanwhile"]


@pytest.mark.parametrize(("refused", "status"), [("closed:x", 403), ("undefined:x", 404)])
def test_a_refused_source_ends_for_good(
    cluster: Cluster, sources: Sources, channel: str, refused: str, status: int
) -> None:
    """A channel that is not permitted, or that cannot be, closes the source: coming back is no use."""
    source = sources.open(f"{cluster.nodes[0].http}/sse?{query(channel, refused)}")
    error = source.expect("error")
    assert error["code"] == status
    assert error["state"] == "CLOSED"
    assert source.do("state") == "CLOSED"


def test_a_source_comes_back_to_a_channel_without_history(
    cluster: Cluster, sources: Sources, channel: str, proxy: Proxy
) -> None:
    """Where nothing is kept a source comes back too; what it missed is gone."""
    channel = f"plain:{channel}"
    source = sources.subscribe(proxy.http, channel)
    proxy.cut()
    source.expect("error")
    publish(cluster.nodes[0], channel, "missed")
    proxy.target = cluster.nodes[1]
    source.expect("subscribed", channel=channel)
    publish(cluster.nodes[0], channel, "after")
    assert source.received(channel, "after") == ["after"]


def test_a_source_reads_the_pushes_of_the_client_protocol(
    cluster: Cluster, sources: Sources, channel: str
) -> None:
    """`/connection/uni_sse`: the connect push with its subscriptions, then publications, as messages."""
    request = quote(json.dumps({"token": token("ann"), "subs": {channel: {}}}))
    source = sources.open(f"{cluster.nodes[0].http}/connection/uni_sse?cf_connect={request}")
    connected = source.expect("publication")["connect"]
    assert list(connected["subs"]) == [channel]
    publish(cluster.nodes[1], channel, {"text": "hello"})
    push = source.expect("publication", channel=channel)
    assert push["pub"]["data"] == {"text": "hello"}
    assert push["pub"]["offset"] > 0
