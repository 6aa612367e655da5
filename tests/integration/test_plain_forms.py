"""`/ws` and `/sse` without an SDK: what a person with `websockets`, `curl` or the standard library sees."""

import contextlib
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import pytest
from websockets import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.backend import publish
from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.proxy import Proxy
from tests.integration.sdk_contract import token
from tests.patience import PATIENCE_S

CURL = shutil.which("curl") or ""
Message = dict[str, Any]


# --- /ws -------------------------------------------------------------------------------------------


class PlainSocket:
    """Texts there and back."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        assert self.read("connected")["client"]

    def write(self, message: Message | str) -> None:
        self._connection.send(message if isinstance(message, str) else json.dumps(message))

    def read(self, type_: str) -> Message:
        message: Message = json.loads(self._connection.recv(PATIENCE_S))
        assert message.pop("type") == type_, message
        return message

    def ask(self, message: Message | str, type_: str) -> Message:
        self.write(message)
        return self.read(type_)


@contextmanager
def plain_socket(url: str, query: str = "") -> Iterator[PlainSocket]:
    # No proxy of the environment between a test and its cluster.
    with connect(f"{url}/ws{query}", proxy=None, open_timeout=PATIENCE_S) as connection:
        yield PlainSocket(connection)


def test_a_publication_crosses_nodes(cluster: Cluster, channel: str) -> None:
    """Subscribe on one node, publish on the other: everybody reads what happened, with the ids they gave."""
    with plain_socket(cluster.nodes[0].ws) as reader, plain_socket(cluster.nodes[1].ws) as writer:
        subscribed = reader.ask({"type": "subscribe", "channel": channel, "id": "s"}, "subscribed")
        assert subscribed["channel"] == channel
        assert subscribed["id"] == "s"
        assert subscribed["epoch"]
        message = {"type": "publish", "channel": channel, "data": {"text": "héllo"}, "id": 2}
        assert writer.ask(message, "published") == {"channel": channel, "id": 2}
        publication = reader.read("publication")
        assert publication["channel"] == channel
        assert publication["data"] == {"text": "héllo"}
        assert publication["offset"] > subscribed["offset"]


def test_a_connection_recovers_on_the_other_node(cluster: Cluster, channel: str, proxy: Proxy) -> None:
    """A person keeps the position, says it again after a cut, and gets what was missed."""
    subscribe = {"type": "subscribe", "channel": channel}
    with contextlib.suppress(ConnectionClosed), plain_socket(proxy.ws) as socket:
        position = socket.ask(subscribe, "subscribed")
        publish(cluster.nodes[0], channel, "before")
        position["offset"] = socket.read("publication")["offset"]
        proxy.cut()
        socket.read("anything")
    publish(cluster.nodes[0], channel, "missed 1", "missed 2")
    proxy.target = cluster.nodes[1]
    with plain_socket(proxy.ws) as socket:
        recover = {"epoch": position["epoch"], "offset": position["offset"]}
        assert socket.ask({**subscribe, "recover": recover}, "subscribed")["recovered"] is True
        assert [socket.read("publication")["data"] for _ in range(2)] == ["missed 1", "missed 2"]
        publish(cluster.nodes[0], channel, "after")
        assert socket.read("publication")["data"] == "after"


def test_history_and_leaving(cluster: Cluster, channel: str) -> None:
    """History comes without a limit given; after leaving, nothing of the channel does."""
    publish(cluster.nodes[0], channel, 1, 2)
    with plain_socket(cluster.nodes[0].ws) as socket:
        page = socket.ask({"type": "history", "channel": channel}, "history")
        assert [publication["data"] for publication in page["publications"]] == [1, 2]
        socket.ask({"type": "subscribe", "channel": channel}, "subscribed")
        assert socket.ask({"type": "unsubscribe", "channel": channel}, "unsubscribed")["code"] == 0
        publish(cluster.nodes[0], channel, 3)
        assert socket.ask({"type": "ping", "id": 1}, "pong") == {"id": 1}


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("hello", 107, 'one JSON object, such as {"type":"subscribe","channel":"news"}'),
        ("[]", 107, "one JSON object"),
        ({"channel": "news"}, 107, "no type: use one of subscribe, unsubscribe, publish, history, ping"),
        ({"type": "subcribe", "channel": "news"}, 107, "unknown type 'subcribe'"),
        ({"type": "subscribe"}, 107, "`channel`"),
        ({"type": "subscribe", "chanel": "news"}, 107, "`chanel`"),
        ({"type": "publish", "channel": "news"}, 107, "`data`"),
        ({"type": "subscribe", "channel": "closed:x", "id": 7}, 103, "permission denied"),
        ({"type": "subscribe", "channel": "undefined:x"}, 102, "unknown channel"),
        ({"type": "history", "channel": "plain:x"}, 108, "not available"),
    ],
)
def test_a_mistake_is_explained(cluster: Cluster, message: Message | str, code: int, words: str) -> None:
    """The answer says what to change, repeats channel and id, and the connection goes on."""
    with plain_socket(cluster.nodes[0].ws) as socket:
        error = socket.ask(message, "error")
        assert error["code"] == code
        assert words in error["message"]
        if isinstance(message, dict):
            assert error.get("channel") == message.get("channel")
            assert error.get("id") == message.get("id")
        socket.ask({"type": "ping"}, "pong")


def test_a_token_comes_in_the_address(cluster: Cluster, channel: str) -> None:
    """A browser cannot set headers: the token is a parameter, and its user stands on publications."""
    here, there = (node.ws for node in cluster.nodes)
    with plain_socket(here, f"?token={token('ann')}") as writer, plain_socket(there) as reader:
        reader.ask({"type": "subscribe", "channel": channel}, "subscribed")
        writer.ask({"type": "publish", "channel": channel, "data": 1}, "published")
        assert reader.read("publication")["info"]["user"] == "ann"


def test_a_forged_token_closes_with_its_reason(cluster: Cluster) -> None:
    """The WebSocket opens first: browsers show the code and reason of a close, and nothing of a refusal."""
    with pytest.raises(ConnectionClosed) as closed, plain_socket(cluster.nodes[0].ws, "?token=none"):
        pass
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3500, "invalid token")


def test_a_stopping_node_says_goodbye(cluster: Cluster) -> None:
    """SIGTERM closes the connection with 3001 and its reason."""
    leaving = cluster.start_node("leaving")
    with plain_socket(leaving.ws) as socket:
        assert leaving.stop() == 0
        with pytest.raises(ConnectionClosed) as closed:
            socket.read("anything")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3001, "shutdown")


# --- /sse ------------------------------------------------------------------------------------------


class ServerSentEvent(NamedTuple):
    """One event as it was sent."""

    name: str
    id: str
    data: Message


class Stream(Protocol):
    """Opens an event stream and gives its lines, without their ends."""

    def __call__(
        self, node: NodeProcess, target: str, last_event_id: str = ""
    ) -> AbstractContextManager[Iterator[str]]: ...


@contextmanager
def by_curl(
    node: NodeProcess, target: str, last_event_id: str = "", *, body: str = ""
) -> Iterator[Iterator[str]]:
    command = [
        CURL,
        "--silent",
        "--show-error",
        "--no-buffer",
        "--noproxy",
        "*",
        "--max-time",
        f"{PATIENCE_S}",
    ]
    if last_event_id:
        command += ["--header", f"Last-Event-ID: {last_event_id}"]
    if body:
        command += ["--data", body]
    with subprocess.Popen([*command, node.http + target], stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        try:
            yield (line.rstrip("\n") for line in curl.stdout)
        finally:
            curl.terminate()


@contextmanager
def by_http_client(node: NodeProcess, target: str, last_event_id: str = "") -> Iterator[Iterator[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", target, headers={"Last-Event-ID": last_event_id} if last_event_id else {})
        with connection.getresponse() as response:
            assert response.status == 200
            assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
            yield (line.decode().rstrip("\n") for line in response)


@pytest.fixture(
    params=[
        pytest.param(by_curl, marks=pytest.mark.skipif(not CURL, reason="no `curl` on the PATH")),
        by_http_client,
    ]
)
def stream(request: pytest.FixtureRequest) -> Stream:
    function: Stream = request.param
    return function


def sse(*channels: str) -> str:
    return "/sse?" + "&".join(f"channel={quote(channel)}" for channel in channels)


def next_event(lines: Iterator[str]) -> ServerSentEvent:
    """The next event that carries data; fields as in the HTML standard, 9.2.6."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            return ServerSentEvent(
                fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"])
            )
        else:
            fields = {}
    raise AssertionError(f"the stream ended; last {fields}")


def test_a_stream_begins_with_the_way_back(cluster: Cluster, stream: Stream, channel: str) -> None:
    """First how long to wait before coming back, then who one is, then where one stands."""
    with stream(cluster.nodes[0], sse(channel)) as lines:
        retry = next(lines)
        assert retry.startswith("retry: ")
        assert 20 <= int(retry.removeprefix("retry: ")) <= 40
        assert next_event(lines).name == "connected"
        subscribed = next_event(lines)
        assert subscribed.name == "subscribed"
        assert subscribed.data["channel"] == channel
        assert subscribed.id


def test_last_event_id_by_hand(cluster: Cluster, stream: Stream, channel: str) -> None:
    """The last id seen, of a stream of two channels, brings what came later, from the other node too."""
    here, there = cluster.nodes
    target = sse(channel, f"{channel}-other")
    with stream(here, target) as lines:
        assert [next_event(lines).name for _ in range(3)] == ["connected", "subscribed", "subscribed"]
        publish(there, channel, "seen")
        seen = next_event(lines)
        assert (seen.name, seen.data["data"]) == ("message", "seen")
    publish(here, channel, "missed 1")
    publish(here, f"{channel}-other", "missed 2")
    with stream(there, target, seen.id) as lines:
        events = [next_event(lines) for _ in range(5)]
        assert [event.name for event in events] == ["connected", *["subscribed", "message"] * 2]
        assert all(event.data["recovered"] for event in events if event.name == "subscribed")
        assert [event.data["data"] for event in events if event.name == "message"] == ["missed 1", "missed 2"]
    with stream(here, target, events[-1].id) as lines:
        assert [next_event(lines).name for _ in range(3)] == ["connected", "subscribed", "subscribed"]
        publish(there, channel, "after")
        assert next_event(lines).data["data"] == "after"


def test_an_unknown_id_is_told(cluster: Cluster, stream: Stream, channel: str) -> None:
    """An id of another server is no error, and no claim that nothing was missed."""
    with stream(cluster.nodes[0], sse(channel), "17") as lines:
        next_event(lines)
        assert next_event(lines).data["recovered"] is False


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/sse", 400, "name at least one channel: /sse?channel=news"),
        (sse("undefined:x"), 404, "namespace is not configured"),
        (sse("closed:x"), 403, "permission denied"),
        (sse("room") + "&token=none", 401, "invalid token"),
    ],
)
def test_a_refusal_is_explained(cluster: Cluster, target: str, status: int, words: str) -> None:
    """A status, and a line for who looks at it."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[0].port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", target)
        with connection.getresponse() as response:
            assert response.status == status
            assert words in response.read().decode()
