"""Every path in its ASGI form, as hypercorn serves it on connections that asked for a page before."""

import json

import pytest
import structlog
import trio

from tests.node.door.clients import Client, Response
from tests.node.door.nodes import KEY, Node, running
from tests.patience import PATIENCE_S

PUBLISH = b'{"channel":"past:a","data":{"n":1}}'


def request(method: str, path: str, *fields: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + (body or b"")


def chunked(path: str, *chunks: bytes, key: bytes = KEY, end: bytes = b"0\r\n\r\n") -> bytes:
    head = (
        b"POST "
        + path.encode()
        + b" HTTP/1.1\r\nHost: test\r\n"
        + key
        + b"Transfer-Encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


async def handed_over(node: Node) -> Client:
    """A connection that hypercorn has."""
    client = await node.connect()
    assert (await client.ask(request("GET", "/livez"))).status == 200
    return client


async def ask(node: Node, raw: bytes) -> Response:
    return await (await handed_over(node)).ask(raw)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/livez", 200), ("/readyz", 200), ("/health", 200), ("/metrics", 200), ("/nothing", 404)],
)
async def test_pages_answer_get_head_and_options(path: str, status: int) -> None:
    """GET has the body, HEAD its length alone, OPTIONS the methods, and the connection goes on."""
    async with running() as node:
        client = await node.connect()
        page = await client.ask(request("GET", path))
        assert page.status == status
        assert page.body
        head = await client.ask(request("HEAD", path))
        assert (head.status, head.body) == (status, b"")
        if path != "/metrics":
            assert head.headers["content-length"] == str(len(page.body))
        if status == 200:
            options = await client.ask(request("OPTIONS", path))
            assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
            refused = await client.ask(request("DELETE", path))
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert node.metrics.refused["method"] == 1


async def test_readiness_is_asked_each_time() -> None:
    """`/readyz` follows the node; `/livez` does not."""
    async with running() as node:
        client = await node.connect()
        node.not_ready = "the broker has been away for 11 s"
        assert (await client.ask(request("GET", "/readyz"))).status == 503
        assert (await client.ask(request("GET", "/livez"))).status == 200
        node.not_ready = ""
        assert (await client.ask(request("GET", "/readyz"))).status == 200


async def test_unknown_paths_name_the_known_ones() -> None:
    """404 with what there is, also for WebSockets; counted and logged."""
    async with running() as node:
        body = (await ask(node, request("GET", "/nothing"))).body.decode()
        for path in ("/", "/livez", "/metrics", "/api/METHOD", "/sse", "/connection/websocket"):
            assert f"{path}," in body or f"{path}\n" in body
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        client = await node.connect()
        with structlog.testing.capture_logs() as logs:
            assert (await client.ask(request("GET", "/nothing", *upgrade, key))).status == 404
        assert [(line["event"], line["rate_limited"]) for line in logs] == [("request refused", 404)]
        assert node.metrics.refused == {"path": 2}


async def test_options_about_the_server_are_answered() -> None:
    """`OPTIONS *` is about no path."""
    async with running() as node:
        assert (await ask(node, request("OPTIONS", "*"))).status == 204


async def test_absolute_targets_are_understood() -> None:
    """RFC 9112, 3.2.2: what proxies send is the same request."""
    async with running() as node:
        assert (await ask(node, request("GET", "http://test/livez"))).body == b"alive\n"


async def test_the_api_answers_as_on_the_door() -> None:
    """Same results, same errors, with a length or in chunks; first on the connection or later."""
    key = KEY.decode().strip()
    async with running() as node:
        client = await node.connect()
        assert (await client.ask(chunked("/api/publish", PUBLISH[:7], PUBLISH[7:]))).status == 200
        response = await client.ask(request("POST", "/api/publish", key, body=PUBLISH))
        assert response.headers["content-type"] == "application/json"
        assert json.loads(response.body)["result"]["offset"]
        history = b'{"channel":"past:a","limit":-1}'
        response = await client.ask(request("POST", "/api/history", key, body=history))
        assert len(json.loads(response.body)["result"]["publications"]) == 2
        legacy = b'{"method":"publish","params":' + PUBLISH + b"}"
        assert b"offset" in (await client.ask(request("POST", "/api", key, body=legacy))).body
        assert (await client.ask(request("POST", "/api/publish", key, body=b"{"))).status == 400
        assert (await client.ask(request("POST", "/api/nothing", key, body=b"{}"))).status == 404
        response = await client.ask(request("GET", "/api/publish", key))
        assert (response.status, response.headers["allow"]) == (405, "POST")
        for wrong in ("X-API-Key: wrong", "X: y"):
            response = await client.ask(request("POST", "/api/publish", wrong, body=PUBLISH))
            assert (response.status, response.body) == (401, b"")
        assert node.metrics.refused["api_401"] == 2


@pytest.mark.parametrize("key", [KEY, b""])
async def test_an_endless_body_is_refused(key: bytes) -> None:
    """A chunked body over the limit is a 413, one without the key a 401 unread; the connection ends."""
    async with running() as node:
        client = await node.connect()
        await client.send(chunked("/api/publish", b"x" * 3000, b"x" * 3000, key=key, end=b""))
        assert (await client.response()).status == (413 if key else 401)
        with trio.fail_after(PATIENCE_S):
            assert await client.ended()


async def test_many_chunks_do_not_hold_a_refused_connection() -> None:
    """Thousands of tiny chunks behind a refusal are taken off the server's hands."""
    async with running() as node:
        client = await node.connect()
        await client.send(chunked("/api/publish", *([b"x"] * 5000), key=b"", end=b""))
        with trio.fail_after(PATIENCE_S):
            assert (await client.response()).status == 401
            while await client.receive():
                pass


async def test_half_a_body_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """A chunked body that stops is a 408 after `body_deadline_s`."""
    async with running() as node:
        client = await node.connect()
        began = trio.current_time()
        await client.send(chunked("/api/publish", b"{", end=b""))
        assert (await client.response()).status == 408
        assert trio.current_time() - began == pytest.approx(30)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ],
)
async def test_smuggling_shapes_are_refused_here_too(raw: bytes) -> None:
    """On a connection that hypercorn has, a request means what it would mean to the door, or nothing."""
    async with running() as node:
        assert (await ask(node, raw)).status == 400


async def test_a_streams_body_has_its_own_limit() -> None:
    """A connect request POSTed to `/connection/uni_sse` may be as long as the door allows there."""
    async with running() as node:
        too_long = b" " * 70_000
        assert (await ask(node, request("POST", "/connection/uni_sse", body=too_long))).status == 413
