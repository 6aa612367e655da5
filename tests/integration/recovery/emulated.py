"""Clients whose replies come on a stream from one node while their commands are POSTed to another."""

import json
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import trio

from protos import client_pb2
from tests.integration.cluster import NodeProcess
from tests.integration.recovery.clients import (
    Note,
    Refused,
    delimited,
    events,
    facts_of_push,
    facts_of_result,
    http,
    plain_push,
    plain_result,
    wanted_from,
)
from tests.integration.recovery.judge import Record

_PATH = "/connection/http_stream"
_JSON = {"Content-Type": "application/json"}
_PROTOBUF = {"Content-Type": "application/octet-stream"}
_CONNECT = b'{"id":1,"connect":{"name":"test"}}'


class _Dialog:
    """What a client says and hears, in JSON; commands are sent by `post`.

    Args:
        records: what it has.
        note: for what it hears.
        post: sends a frame of commands, soon.
    """

    def __init__(self, records: dict[str, Record], note: Note, post: Callable[[str, str, str], None]) -> None:
        self._wanted = wanted_from(records)
        self._channels = dict(enumerate(self._wanted, start=2))
        self._note = note
        self._post = post
        self._session = self._node = ""

    def hear(self, reply: dict[str, dict[str, object]]) -> None:
        """Take a reply or push; each subscribe is a POST of its own, and all are on their way at once."""
        if "error" in reply:
            raise Refused(str(reply["error"]))
        if "connect" in reply:
            self._session, self._node = str(reply["connect"]["session"]), str(reply["connect"]["node"])
            for number, (channel, position) in enumerate(self._wanted.items(), start=2):
                request: dict[str, object] = {"channel": channel}
                if position is not None:
                    request |= {"recover": True, "epoch": position.epoch, "offset": position.offset}
                self._say({"id": number, "subscribe": request})
        elif "subscribe" in reply:
            channel = self._channels[int(str(reply["id"]))]
            self._note(facts_of_result(channel, reply["subscribe"], self._wanted[channel]))
        elif "push" in reply:
            self._note(facts_of_push(reply["push"]))
        elif not reply:
            self._say({})

    def _say(self, command: dict[str, object]) -> None:
        self._post(self._session, self._node, json.dumps(command))


def _nothing(_: bytes) -> None:
    """The answer of a POST has no body."""


async def sse(node: NodeProcess, records: dict[str, Record], note: Note, other: NodeProcess) -> None:
    """/connection/sse."""
    async with trio.open_nursery() as posting:
        dialog = _Dialog(records, note, partial(_post_json, posting, other))
        target = f"/connection/sse?cf_connect={quote(_CONNECT)}"
        await events(node, target, lambda event: dialog.hear(json.loads(event["data"])))
        posting.cancel_scope.cancel()


async def http_stream_json(
    node: NodeProcess, records: dict[str, Record], note: Note, other: NodeProcess
) -> None:
    """/connection/http_stream in JSON: a line for each reply."""
    rest = b""
    async with trio.open_nursery() as posting:
        dialog = _Dialog(records, note, partial(_post_json, posting, other))

        def data_came(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                dialog.hear(json.loads(line))

        await http(node, "POST", _PATH, data_came, _JSON, _CONNECT)
        posting.cancel_scope.cancel()


def _post_json(posting: trio.Nursery, to: NodeProcess, session: str, name: str, frame: str) -> None:
    body = json.dumps({"session": session, "node": name, "data": frame}).encode()
    posting.start_soon(http, to, "POST", "/emulation", _nothing, _JSON, body)


async def http_stream_protobuf(
    node: NodeProcess, records: dict[str, Record], note: Note, other: NodeProcess
) -> None:
    """/connection/http_stream in Protobuf: each reply behind its length."""
    received = bytearray()
    async with trio.open_nursery() as posting:
        dialog = _Dialog(records, note, partial(_post_protobuf, posting, other))

        def data_came(data: bytes) -> None:
            received.extend(data)
            while (reply := _take(received)) is not None:
                dialog.hear(_plain(reply))

        connect = delimited(client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(name="test")))
        await http(node, "POST", _PATH, data_came, _PROTOBUF, connect)
        posting.cancel_scope.cancel()


def _post_protobuf(posting: trio.Nursery, to: NodeProcess, session: str, name: str, frame: str) -> None:
    fields = json.loads(frame)
    command = client_pb2.Command(id=fields.get("id", 0))
    if "subscribe" in fields:
        command.subscribe.CopyFrom(client_pb2.SubscribeRequest(**fields["subscribe"]))
    request = client_pb2.EmulationRequest(session=session, node=name, data=delimited(command))
    posting.start_soon(http, to, "POST", "/emulation", _nothing, _PROTOBUF, request.SerializeToString())


def _take(received: bytearray) -> client_pb2.Reply | None:
    """Take the first reply off what was received; None while more is needed."""
    size = 0
    for at, byte in enumerate(received):
        size |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            start = at + 1
            if len(received) < start + size:
                return None
            reply = client_pb2.Reply.FromString(bytes(received[start : start + size]))
            del received[: start + size]
            return reply
    return None


def _plain(reply: client_pb2.Reply) -> dict[str, dict[str, object]]:
    if reply.HasField("error"):
        return {"error": {"message": reply.error.message}}
    if reply.HasField("connect"):
        return {"connect": {"session": reply.connect.session, "node": reply.connect.node}}
    if reply.HasField("subscribe"):
        return {"id": reply.id, "subscribe": plain_result(reply.subscribe)}  # type: ignore[dict-item]
    return {"push": plain_push(reply.push)} if reply.HasField("push") else {}
