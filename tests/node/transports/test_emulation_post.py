"""Commands that come in requests of their own, against a whole node over loopback."""

import json
from typing import Any

import pytest
import trio

from node.emulation import Outcome
from protos import client_pb2
from tests.node.transports.served import served
from tests.node.transports.stream_client import CONNECT, Emulated, Stream, frame, protobuf_frame

PATH = "/emulation"
HISTORY = {"id": 2, "history": {"channel": "past:a", "limit": 0}}


async def test_commands_are_answered_on_the_stream() -> None:
    """The request is answered when the session has them; one connection carries many."""
    async with served() as node:
        client = await Emulated.open(node)
        assert await client.send({"id": 2, "subscribe": {"channel": "past:a"}}, HISTORY | {"id": 3}) == 204
        assert "subscribe" in await client.stream.line()
        assert "history" in await client.stream.line()
        await node.publish("past:a", b"1")
        assert (await client.stream.line())["push"]["pub"]["data"] == 1
        for number in range(4, 40):
            assert await client.send(HISTORY | {"id": number}) == 204
            assert (await client.stream.line())["id"] == number


async def test_protobuf_commands_travel_as_bytes() -> None:
    """A Protobuf request for a Protobuf stream."""
    async with served() as node:
        kind = "Content-Type: application/octet-stream"
        connect = protobuf_frame(client_pb2.Command(id=1, connect=client_pb2.ConnectRequest()))
        stream = await Stream.open(node, "/connection/http_stream", kind, body=connect)
        connected = (await stream.reply()).connect
        subscribe = client_pb2.Command(id=2, subscribe=client_pb2.SubscribeRequest(channel="open:a"))
        request = client_pb2.EmulationRequest(
            session=connected.session, node=connected.node, data=protobuf_frame(subscribe)
        )
        post = await Stream.open(node, PATH, kind, body=request.SerializeToString())
        assert post.status == 204
        assert (await stream.reply()).HasField("subscribe")


async def test_requests_are_pipelined() -> None:
    """A second request behind the first one's body is the next request, not lost."""
    async with served() as node:
        client = await Emulated.open(node)
        requests = b""
        for number in (2, 3):
            data = frame(HISTORY | {"id": number}).decode()
            body = json.dumps({"session": client.session, "node": client.node, "data": data}).encode()
            requests += (
                b"POST /emulation HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        await client.post.stream.send_all(requests)
        assert [(await client.stream.line())["id"] for _ in range(2)] == [2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"session": "0" * 32},
        {"session": ""},
        {"session": "x" * 5000},
        {"node": "00000000-0000-0000-0000-000000000000"},
        {"node": ""},
        {"node": "*"},
        {"node": "../../" + "x" * 500},
    ],
)
async def test_who_does_not_know_the_session_finds_nobody(changes: dict[str, str]) -> None:
    """Forged and unknown ids are 404 alike, and the session does not notice."""
    async with served() as node:
        client = await Emulated.open(node)
        assert await client.send({"id": 2, "subscribe": {"channel": "open:a"}}, **changes) == 404
        assert node.parts.metrics.refused == {"emulation_404": 1}
        assert await client.send(HISTORY) == 204
        assert (await client.stream.line())["id"] == 2
        assert node.parts.hub.channels == 0


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b'{"session":1}', 400),
        ("application/json", b'{"data":{}}', 400),
        ("application/json", b'{"session":"\xff"}', 400),
        ("application/json", b"[" * 9_000, 400),
        ("application/json", b'{"x":' + b"[" * 9_000, 400),
        ("application/octet-stream", b"\xff", 400),
        ("application/octet-stream", b"\x12\x7f", 400),
        ("application/octet-stream", b"", 404),
        ("application/json", b"x" * 10_001, 413),
    ],
)
async def test_bodies_that_are_no_requests(kind: str, body: bytes, status: int) -> None:
    """Each has its status, and is counted."""
    async with served() as node:
        post = await Stream.open(node, PATH, f"Content-Type: {kind}", body=body)
        assert post.status == status
        assert sum(node.parts.metrics.refused.values()) == 1


async def test_only_post() -> None:
    """There is nothing to be read here."""
    async with served() as node:
        post = await Stream.open(node, PATH, method="GET")
        assert (post.status, post.fields["allow"]) == (405, "POST, OPTIONS")


async def test_pages_of_other_origins() -> None:
    """An allowed origin may post, also with a preflight; another one may not, even with the session's id."""
    good, evil = "Origin: https://good.example", "Origin: https://evil.example"
    async with served() as node:
        client = await Emulated.open(node)
        asked = await Stream.open(
            node, PATH, good, "Access-Control-Request-Headers: content-type", method="OPTIONS"
        )
        assert asked.status == 204
        assert asked.fields["access-control-allow-headers"] == "content-type"
        body = json.dumps({"session": client.session, "node": client.node, "data": frame(HISTORY).decode()})
        posted = await Stream.open(node, PATH, good, body=body.encode())
        assert posted.status == 204
        assert posted.fields["access-control-allow-origin"] == "https://good.example"
        assert (await Stream.open(node, PATH, evil, body=body.encode())).status == 403


@pytest.mark.parametrize("data", ["", "{", "\n", "[]", '{"id":9}', "\ud7ff"])
async def test_frames_that_hold_no_commands_end_the_session(data: str) -> None:
    """As on any other transport: the request was delivered, and the client broke the protocol."""
    async with served() as node:
        client = await Emulated.open(node)
        assert await client.send(data=data) == 204
        assert (await client.stream.line())["push"]["disconnect"]["code"] == 3501
        assert await client.stream.rest() == b""
        # Until its client has gone, what comes too late is no error.
        assert await client.send(HISTORY) == 204
        await client.stream.stream.aclose()
        await node.empty()
        assert await client.send(HISTORY) == 404


async def test_a_session_is_gone_with_its_stream() -> None:
    """Nobody speaks for a client that does not listen."""
    async with served() as node:
        client = await Emulated.open(node)
        await client.stream.stream.aclose()
        await node.empty()
        assert await client.send(HISTORY) == 404
        assert len(node.parts.emulation) == 0


async def test_what_other_nodes_cannot_take_has_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could not be reached is another matter than who does not exist."""
    async with served() as node:
        client = await Emulated.open(node)
        for outcome in (Outcome.BUSY, Outcome.UNREACHABLE, Outcome.TOO_LARGE):

            async def deliver(*_: Any, outcome: Outcome = outcome) -> Outcome:
                await trio.lowlevel.checkpoint()
                return outcome

            monkeypatch.setattr(node.parts.emulation, "deliver", deliver)
            assert await client.send(HISTORY) == outcome
        assert node.parts.metrics.refused == {"emulation_429": 1, "emulation_503": 1, "emulation_413": 1}


async def test_one_session_cannot_be_connected_twice() -> None:
    """A second connect by POST is what it is on every transport."""
    async with served() as node:
        client = await Emulated.open(node)
        assert await client.send(CONNECT) == 204
        assert (await client.stream.line())["push"]["disconnect"]["code"] == 3501
