"""Clients of the recovery test: each speaks one transport, and writes down what it sees.

They are written against the protocol's description, not with the node's codecs; only the event id, which
is the node's own, is made by it.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import h11
import trio
import trio_websocket

from node.protocol.event_stream import encode_positions
from node.protocol.messages import StreamPosition
from protos import client_pb2
from tests.integration.cluster import NodeProcess
from tests.integration.recovery.judge import Position, Record, Seen, Subscribed

Facts = list[tuple[str, Subscribed | Seen | None]]
Note = Callable[[Facts], None]


def _position(result: dict[str, object]) -> Position:
    return Position(str(result.get("epoch", "")), int(str(result.get("offset", 0))))


def _value(publication: dict[str, object]) -> str:
    return str(publication["data"])


def facts_of_result(channel: str, result: dict[str, object], since: Position | None) -> Facts:
    """A subscribe result: the grant, then what was recovered with it."""
    recovered = bool(result.get("recovered", False))
    facts: Facts = [(channel, Subscribed(_position(result), since, recovered))]
    publications = result.get("publications", [])
    assert isinstance(publications, list)
    return facts + [(channel, Seen(int(item["offset"]), _value(item))) for item in publications]


def facts_of_push(push: dict[str, object]) -> Facts:
    """A push: a publication, or (None) the end of a subscription that must be made again."""
    channel = str(push.get("channel", ""))
    publication, unsubscribed = push.get("pub"), push.get("unsubscribe")
    if isinstance(publication, dict):
        return [(channel, Seen(int(publication["offset"]), _value(publication)))]
    if isinstance(unsubscribed, dict):
        assert unsubscribed["code"] == 2500, unsubscribed
        return [(channel, None)]
    return []


def wanted_from(records: dict[str, Record]) -> dict[str, Position | None]:
    return {channel: record.position() for channel, record in records.items()}


class Refused(Exception):
    """The node did not take the client, or a channel, for now."""


async def websocket_json(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """/connection/websocket in JSON: connect and all subscribes in one frame, as the SDKs do."""
    wanted = wanted_from(records)
    commands: list[dict[str, object]] = [{"id": 1, "connect": {"name": "test"}}]
    by_id = {}
    for number, (channel, position) in enumerate(wanted.items(), start=2):
        request: dict[str, object] = {"channel": channel}
        if position is not None:
            request |= {"recover": True, "epoch": position.epoch, "offset": position.offset}
        commands.append({"id": number, "subscribe": request})
        by_id[number] = channel
    async with _websocket(node, "/connection/websocket") as socket:
        await socket.send_message("\n".join(json.dumps(command) for command in commands))
        while True:
            for line in (await socket.get_message()).split("\n"):
                reply = json.loads(line)
                if not reply:
                    await socket.send_message("{}")
                    continue
                if "error" in reply:
                    raise Refused(str(reply["error"]))
                if "subscribe" in reply:
                    channel = by_id[reply["id"]]
                    note(facts_of_result(channel, reply["subscribe"], wanted[channel]))
                elif "push" in reply:
                    note(facts_of_push(reply["push"]))


class Protobuf:
    """What a client of the client protocol says and hears, in Protobuf.

    Args:
        records: what it has.
        note: for what it hears.
    """

    def __init__(self, records: dict[str, Record], note: Note) -> None:
        self._wanted = wanted_from(records)
        self._channels = dict(enumerate(self._wanted, start=2))
        self._note = note

    def commands(self) -> Iterator[client_pb2.Command]:
        """Connect and all subscribes, which need not wait for its reply."""
        yield client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(name="test"))
        for number, channel in self._channels.items():
            request, position = client_pb2.SubscribeRequest(channel=channel), self._wanted[channel]
            if position is not None:
                request.recover, request.epoch, request.offset = True, position.epoch, position.offset
            yield client_pb2.Command(id=number, subscribe=request)

    def is_ping(self, reply: client_pb2.Reply) -> bool:
        """Take a reply; True if it is a ping, which wants an answer."""
        if reply.HasField("error"):
            raise Refused(reply.error.message)
        if reply.HasField("subscribe"):
            channel = self._channels[reply.id]
            self._note(facts_of_result(channel, plain_result(reply.subscribe), self._wanted[channel]))
        elif reply.HasField("push"):
            self._note(facts_of_push(plain_push(reply.push)))
        return not reply.id and not reply.HasField("push")


async def websocket_protobuf(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """/connection/websocket in Protobuf."""
    protobuf = Protobuf(records, note)
    async with _websocket(node, "/connection/websocket?cf_protocol=protobuf") as socket:
        await socket.send_message(b"".join(delimited(command) for command in protobuf.commands()))
        while True:
            for reply in _replies(await socket.get_message()):
                if protobuf.is_ping(reply):
                    await socket.send_message(b"\x00")


def delimited(message: client_pb2.Command) -> bytes:
    body = message.SerializeToString()
    size, prefix = len(body), bytearray()
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body


def _replies(frame: bytes) -> Iterator[client_pb2.Reply]:
    at = 0
    while at < len(frame):
        size = shift = 0
        while True:
            byte = frame[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield client_pb2.Reply.FromString(frame[at : at + size])
        at += size


def _plain_publication(publication: client_pb2.Publication) -> dict[str, object]:
    return {"offset": publication.offset, "data": json.loads(publication.data)}


def plain_result(result: client_pb2.SubscribeResult) -> dict[str, object]:
    publications = [_plain_publication(item) for item in result.publications]
    return {
        "epoch": result.epoch,
        "offset": result.offset,
        "recovered": result.recovered,
        "publications": publications,
    }


def plain_push(push: client_pb2.Push) -> dict[str, object]:
    plain: dict[str, object] = {"channel": push.channel}
    if push.HasField("pub"):
        plain["pub"] = _plain_publication(push.pub)
    if push.HasField("unsubscribe"):
        plain["unsubscribe"] = {"code": push.unsubscribe.code}
    return plain


async def uni_sse(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """/connection/uni_sse: the channels and positions travel in the connect request."""
    wanted = wanted_from(records)
    subs: dict[str, dict[str, object]] = {}
    for channel, position in wanted.items():
        subs[channel] = {}
        if position is not None:
            subs[channel] = {"recover": True, "epoch": position.epoch, "offset": position.offset}
    target = "/connection/uni_sse?cf_connect=" + quote(json.dumps({"subs": subs}))

    def event_came(event: dict[str, str]) -> None:
        push = json.loads(event["data"])
        if "connect" in push:
            granted = push["connect"].get("subs", {})
            if granted.keys() != subs.keys():
                raise Refused(f"not granted: {sorted(subs.keys() - granted.keys())}")
            for channel, result in granted.items():
                note(facts_of_result(channel, result, wanted[channel]))
        elif "disconnect" not in push:
            note(facts_of_push(push))

    await events(node, target, event_came)


async def plain_sse(node: NodeProcess, records: dict[str, Record], note: Note) -> None:
    """/sse: the positions of all channels travel in Last-Event-ID."""
    wanted = wanted_from(records)
    target = "/sse?" + "&".join(f"channel={quote(channel)}" for channel in wanted)
    known = {
        channel: StreamPosition(position.offset, position.epoch)
        for channel, position in wanted.items()
        if position is not None
    }

    def event_came(event: dict[str, str]) -> None:
        message = json.loads(event["data"])
        kind, channel = message["type"], message.get("channel", "")
        if kind == "subscribed":
            note(facts_of_result(channel, message, wanted[channel]))
        elif kind == "publication":
            note([(channel, Seen(int(message["offset"]), _value(message)))])
        elif kind == "error":
            raise Refused(message["message"])

    headers = {"Last-Event-ID": encode_positions(known)} if known else {}
    await events(node, target, event_came, headers)


async def events(
    node: NodeProcess,
    target: str,
    event_came: Callable[[dict[str, str]], None],
    headers: dict[str, str] | None = None,
) -> None:
    """Read an SSE endpoint to its end, by the grammar of the HTML standard's section on event streams."""
    text = b""
    event: dict[str, str] = {}

    def data_came(data: bytes) -> None:
        nonlocal text, event
        *lines, text = (text + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(":")
            if name:
                joined = event.get(name)
                value = value.removeprefix(" ")
                event[name] = value if joined is None or name != "data" else f"{joined}\n{value}"
            elif not line:
                if "data" in event:
                    event_came(event)
                event = {}

    await http(node, "GET", target, data_came, {"Accept": "text/event-stream", **(headers or {})})


async def http(
    node: NodeProcess,
    method: str,
    target: str,
    data_came: Callable[[bytes], None],
    headers: dict[str, str],
    body: bytes = b"",
) -> None:
    """Send a request and read the body of its response to its end; raises Refused for all but 200 and 204."""
    stream = await trio.open_tcp_stream("127.0.0.1", node.port)
    async with stream:
        connection = h11.Connection(h11.CLIENT)
        fields = {"Host": "test", "Content-Length": str(len(body)), **headers}
        request = h11.Request(method=method, target=target, headers=list(fields.items()))
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        await stream.send_all(b"".join(connection.send(part) or b"" for part in parts))
        while True:
            received = connection.next_event()
            if received is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(received, h11.Response) and received.status_code not in (200, 204):
                raise Refused(f"status {received.status_code}")
            elif isinstance(received, h11.EndOfMessage | h11.ConnectionClosed):
                return
            elif isinstance(received, h11.Data):
                data_came(received.data)


@asynccontextmanager
async def _websocket(node: NodeProcess, resource: str) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A connection that is dropped, not closed politely, when its client is cut."""
    stream = await trio.open_tcp_stream("127.0.0.1", node.port)
    try:
        async with trio.open_nursery() as nursery:
            yield await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", resource)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)
