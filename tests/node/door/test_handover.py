"""Connections handed to hypercorn: nothing is lost on the way, and every path goes on answering."""

import json

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import structlog
import trio
from msgspec.structs import replace

from node.config.options import Duration
from tests.node.door.clients import LOCAL, Client
from tests.node.door.nodes import KEY, Node, running
from tests.patience import PATIENCE_S

DATA = b'{"channel":"past:a","data":{"n":1}}'
PUBLISH = (
    b"POST /api/publish HTTP/1.1\r\nHost: test\r\n"
    + KEY
    + b"Content-Length: %d\r\n\r\n%s" % (len(DATA), DATA)
)
PAGE = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
SSE = b"GET /sse?channel=past:a HTTP/1.1\r\nHost: test\r\n\r\n"


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: test", *fields, "", "")).encode()


async def check_page(client: Client) -> None:
    response = await client.response()
    assert response.status == 200
    assert response.body.startswith(b"<!doctype html>")


async def check_publish(client: Client, above: int = 0) -> int:
    """The offset, which is above an earlier one."""
    response = await client.response()
    offset: int = json.loads(response.body)["result"]["offset"]
    assert offset > above
    return offset


async def check_stream(client: Client, node: Node, *, chunked: bool) -> None:
    head = await client.receive_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert (b"transfer-encoding: chunked" in head.lower()) is chunked
    assert b"content-type: text/event-stream" in head.lower()
    await client.receive_until(b"event: subscribed")
    await node.served.publish("past:a", b'{"live":true}')
    await client.receive_until(b'{"live":true}')


async def test_page_then_api_then_stream_on_one_connection() -> None:
    """`/`, `/api/publish` and `/sse`: hypercorn has the connection from the first request on."""
    async with running() as node:
        client = await node.connect()
        await client.send(PAGE)
        await check_page(client)
        await client.send(PUBLISH)
        await check_publish(client)
        await client.send(SSE)
        await check_stream(client, node, chunked=True)


async def test_api_then_page_then_api_then_stream_on_one_connection() -> None:
    """The fast path first, then hypercorn, which serves the same API and streams from then on."""
    async with running() as node:
        client = await node.connect()
        offset = 0
        for _ in range(2):
            await client.send(PUBLISH)
            offset = await check_publish(client, offset)
        await client.send(PAGE)
        await check_page(client)
        await client.send(PUBLISH)
        await check_publish(client, offset)
        await client.send(SSE)
        await check_stream(client, node, chunked=True)


@pytest.mark.parametrize("cut", [0, 1, 60, len(PAGE), len(PAGE) + 100, len(PAGE + PUBLISH) + 3])
async def test_pipelined_requests_survive_the_hand_over(cut: int) -> None:
    """All of it in one write, or split anywhere: each request is answered once, in order."""
    async with running() as node:
        client = await node.connect()
        requests = PAGE + PUBLISH + SSE
        await client.send(requests[:cut])
        await trio.testing.wait_all_tasks_blocked()
        await client.send(requests[cut:])
        await check_page(client)
        await check_publish(client)
        await check_stream(client, node, chunked=True)


async def test_pipelined_requests_that_begin_on_the_fast_path() -> None:
    """What lies behind an API call in the same write is handed over with the connection."""
    async with running() as node:
        client = await node.connect()
        await client.send(PUBLISH + PAGE + PUBLISH + SSE)
        offset = await check_publish(client)
        await check_page(client)
        await check_publish(client, offset)
        await check_stream(client, node, chunked=True)


async def test_http2_is_spoken() -> None:
    """A client with prior knowledge of HTTP/2 gets pages and the API over one connection."""
    async with running() as node:
        client = await node.connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        common = [(":scheme", "http"), (":authority", "test")]
        connection.send_headers(1, [(":method", "GET"), (":path", "/livez"), *common], end_stream=True)
        connection.send_headers(
            3, [(":method", "POST"), (":path", "/api/publish"), *common, ("x-api-key", "secret")]
        )
        connection.send_data(3, DATA, end_stream=True)
        await client.send(connection.data_to_send())
        answers: dict[int, bytes] = {}
        ended: set[int] = set()
        while ended != {1, 3}:
            for event in connection.receive_data(await client.receive()):
                if isinstance(event, h2.events.DataReceived):
                    answers[event.stream_id] = answers.get(event.stream_id, b"") + event.data
                elif isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
            await client.send(connection.data_to_send())
        assert answers[1] == b"alive\n"
        assert json.loads(answers[3])["result"]["offset"]


async def test_leaving_ends_each_connection_with_its_response() -> None:
    """HTTP/1 is told so in the response; HTTP/2 cannot be, and ends soon after its last stream."""
    async with running() as node:
        kept, second = await node.connect(), await node.connect()
        assert "connection" not in (await kept.ask(PAGE)).headers
        node.door.leave()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        fields = [(":method", "GET"), (":path", "/livez"), (":scheme", "http"), (":authority", "test")]
        connection.send_headers(1, fields, end_stream=True)
        await second.send(connection.data_to_send())
        response = await kept.ask(PAGE)
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert await kept.ended()
        received = b""
        with trio.fail_after(PATIENCE_S):
            while data := await second.receive():
                received += data
        events = connection.receive_data(received)
        body = [event.data for event in events if isinstance(event, h2.events.DataReceived)]
        assert b"".join(body) == b"alive\n"


async def test_stopping_ends_idle_connections_and_finishes_responses() -> None:
    """Hypercorn's idle connections are closed at once, a response under way is completed."""
    async with running() as node:
        idle, busy = await node.connect(), await node.connect()
        await idle.send(PAGE)
        await check_page(idle)
        await busy.send(PAGE + PUBLISH[:-5])
        await check_page(busy)
        await trio.testing.wait_all_tasks_blocked()
        await node.stop()
        with trio.fail_after(PATIENCE_S):
            assert await idle.ended()
            await busy.send(PUBLISH[-5:])
            await check_publish(busy)
            assert await busy.ended()


async def test_a_request_that_comes_while_stopping_is_refused() -> None:
    """A head that ends after `stop` is not given to hypercorn, which would drop it."""
    async with running() as node:
        client = await node.connect()
        await client.send(PAGE[:10])
        await trio.testing.wait_all_tasks_blocked()
        await node.stop()
        with structlog.testing.capture_logs() as logs:
            await client.send(PAGE[10:])
            assert (await client.response()).status == 503
        assert [line["reason"] for line in logs] == ["the node is stopping"]
        assert node.metrics.refused == {"not_accepting": 1}
        assert await client.ended()


async def test_an_idle_connection_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """Half a head, or silence, ends after `keep_alive_s` with hypercorn too, also over HTTP/2."""
    quick = replace(LOCAL, keep_alive_s=Duration(2), head_deadline_s=Duration(2))
    async with running(http_server=quick) as node:
        for sent in (b"", b"GET / HT"):
            client = await node.connect()
            await client.send(PAGE)
            await check_page(client)
            await client.send(sent)
            assert await client.ended()
        client = await node.connect()
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        with trio.fail_after(PATIENCE_S):
            while await client.receive():
                pass


async def test_a_client_that_does_not_read_can_be_cancelled() -> None:
    """Hypercorn shields what it sends; ending the node ends such a connection all the same."""
    with trio.fail_after(PATIENCE_S):
        async with running() as node:
            client = await node.connect()
            await client.send(PAGE * 400)
            await trio.testing.wait_all_tasks_blocked(0.05)


async def test_garbage_after_the_hand_over_costs_its_connection_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Broken HTTP/2 is given up, and others are served on."""
    async with running(http_server=replace(LOCAL, head_deadline_s=Duration(2))) as node:
        for garbage in (b"\xff" * 100, b"\x00\x00\x04\x08\x00\x00\x00\x00\x05\x00\x00\x00\x01"):
            client = await node.connect()
            await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + garbage)
            with trio.fail_after(PATIENCE_S):
                while await client.receive():
                    pass
        other = await node.connect()
        await other.send(PAGE)
        await check_page(other)


async def test_a_fault_of_the_application_is_a_500() -> None:
    """It is logged and counted, and the connection goes on."""
    async with running() as node:
        client = await node.connect()

        def broken() -> bytes:
            raise RuntimeError("a bug")

        node.app._endpoints = {"/": node.app._endpoints["/"]._replace(content=broken)}  # type: ignore[arg-type]
        with structlog.testing.capture_logs() as logs:
            assert (await client.ask(PAGE)).status == 500
        assert [entry["event"] for entry in logs] == ["serving a request failed"]
        assert node.metrics.failures == 1
        node.metrics.failures = 0


async def test_a_client_that_goes_away_is_over_at_once() -> None:
    """Hypercorn's keep-alive time is no reason to keep a dead connection's socket and tasks."""
    async with running() as node:
        client = await node.connect()
        await client.send(PAGE)
        await check_page(client)
        assert b"broadcast_door_connections 1.0" in node.door_metrics.render()
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert b"broadcast_door_connections 0.0" in node.door_metrics.render()


async def test_a_client_that_has_said_all_gets_its_answer() -> None:
    """RFC 9112, 9.6: half-closing after a request, as `nc -N` does, does not lose the response."""
    async with running() as node:
        client = await node.connect()
        await client.send(PAGE)
        await client.stream.send_eof()
        await check_page(client)
        assert await client.ended()


async def test_a_response_that_nobody_reads_ends_with_its_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """An HTTP/2 client that goes away inside a response leaves nothing behind."""
    async with running() as node:
        client = await node.connect()
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        # No window: the response's body cannot be sent.
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        fields = [(":method", "GET"), (":path", "/livez"), (":scheme", "http"), (":authority", "test")]
        connection.send_headers(1, fields, end_stream=True)
        await client.send(connection.data_to_send())
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
        await trio.sleep(6)
        assert b"broadcast_door_connections 0.0" in node.door_metrics.render()
