"""What a client that only waits keeps in the node's memory, whichever transport it came on.

There are many thousands of them: an object that each keeps for nothing is many megabytes.
"""

import gc
from collections.abc import Iterator
from types import CodeType
from urllib.parse import quote

import pytest
import trio
import trio.testing

import node
from node.door.head import Head
from node.protocol.messages import Command, ConnectRequest
from tests.node.transports.served import served

_HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
              "Sec-WebSocket-Version: 13")  # fmt: skip
_UNI = quote('{"subs":{"waiting":{}}}')
_BIDIRECTIONAL = quote('{"id":1,"connect":{"name":"waiting"}}')
_NODE = next(iter(node.__path__))


def _requests() -> list[object]:
    """All that there are in this process of what a client asks with."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Head | Command | ConnectRequest)]


def _tasks(of: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in of.child_nurseries:
        for task in nursery.child_tasks:
            yield task
            yield from _tasks(task)


def _waiting_in(task: trio.lowlevel.Task) -> list[str]:
    """The names of the node's own coroutines that a task waits in, the outermost first."""
    names = []
    coroutine: object = task.coro
    while (code := getattr(coroutine, "cr_code", None)) is not None:
        assert isinstance(code, CodeType)
        if code.co_filename.startswith(_NODE):
            names.append(code.co_name)
        coroutine = getattr(coroutine, "cr_await", None)
    return names


@pytest.mark.parametrize(
    ("target", "fields", "until", "listening"),
    [
        (f"GET /connection/uni_sse?cf_connect={_UNI}", (), b'"connect":', ["serve", "listen"]),
        ("GET /sse?channel=waiting", (), b"subscribed", ["serve", "listen"]),
        ("POST /connection/uni_http_stream", (), b'"connect":', ["serve", "listen"]),
        (f"GET /connection/sse?cf_connect={_BIDIRECTIONAL}", (), b'"connect":', ["serve", "listen"]),
        ("GET /connection/websocket", _HANDSHAKE, b"\r\n\r\n", ["serve"]),
        (f"GET /connection/uni_websocket?cf_connect={_UNI}", _HANDSHAKE, b'"connect":', ["serve"]),
        ("GET /ws", _HANDSHAKE, b"connected", ["serve"]),
    ],
)
async def test_what_a_client_asked_is_forgotten_once_it_waits(
    target: str, fields: tuple[str, ...], until: bytes, listening: list[str]
) -> None:
    """Its request is of no use any more; it keeps one task, which waits in as few coroutines as can be."""
    async with served() as there:
        of_others = _requests()
        stream = await there.connect()
        lines = (f"{target} HTTP/1.1", "Host: localhost", *fields, "", "")
        await stream.send_all("\r\n".join(lines).encode())
        received = b""
        while until not in received:
            received += await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked()
        assert len(there.parts.sessions) == 1
        assert not [thing for thing in _requests() if not any(thing is other for other in of_others)]
        root = trio.lowlevel.current_root_task()
        assert root is not None
        (reader,) = [task for task in _tasks(root) if task.name == "connection"]
        assert _waiting_in(reader) == ["_serve_connection", *listening, "_receive_more"]
