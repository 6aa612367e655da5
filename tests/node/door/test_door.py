"""The port as a whole: routing, keep-alive, deadlines, faults and stopping, on real sockets."""

import errno
import resource
import socket

import msgspec
import pytest
import structlog
import trio

from node import open_files
from node.door.connection import Connection
from node.door.head import Head
from tests.node.door.clients import LOCAL, Client, echo, serving
from tests.patience import PATIENCE_S

ROUTES = {"/a": echo, "/api/": echo}


def get(path: str, *fields: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", "Host: test", *fields, "", "")
    return "\r\n".join(lines).encode()


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def test_paths_lead_to_their_handlers() -> None:
    """An exact path and one right below a prefix have their handler; all else goes to the fallback."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        assert (await client.ask(get("/a?x=1"))).body == b"GET /a\n"
        assert (await client.ask(post("/api/publish", b"body"))).body == b"POST /api/publish body\n"
        assert (await client.ask(get("/%61"))).body == b"GET /a\n"
        for path in ("/", "/A", "/a/", "/api", "/api/x/y", "/b"):
            assert (await client.ask(get(path))).status == 404


async def test_what_the_door_does_not_frame_goes_to_the_fallback() -> None:
    """Chunked bodies and HTTP/2 are not read here, whatever the path."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        chunked = b"POST /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert (await client.ask(chunked)).body == b"elsewhere /a\n"
        client = await served.connect()
        assert (await client.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).body == b"elsewhere *\n"


async def test_addresses_are_logged_so_that_they_can_be_read() -> None:
    """IPv6 stands in brackets."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with structlog.testing.capture_logs() as logs:
        async with serving(ROUTES, options=msgspec.structs.replace(LOCAL, address="::1")) as served:
            port = served.door.addresses[0][1]
            client = await served.connect()
            source = client.stream.socket.getsockname()[1]
            await client.ask(b"nonsense\r\n\r\n")
    listening, refused = logs
    assert listening["addresses"] == [f"[::1]:{port}"]
    assert refused["peer"] == f"[::1]:{source}"


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent in one write, and split at any byte, each get their answer, in order."""
    requests = get("/a") + post("/api/x", b"1") + b"\r\n" + post("/api/y", b"22") + get("/b")
    async with serving(ROUTES) as served:
        client = await served.connect()
        await client.send(requests)
        answers = [(await client.response()).body for _ in range(4)]
        assert answers == [b"GET /a\n", b"POST /api/x 1\n", b"POST /api/y 22\n", b"elsewhere /b\n"]
        for cut in range(1, len(requests), 7):
            await client.send(requests[:cut])
            await trio.testing.wait_all_tasks_blocked()
            await client.send(requests[cut:])
            assert [(await client.response()).body for _ in range(4)] == answers


async def test_persistence_follows_the_request() -> None:
    """`Connection: close` and plain HTTP/1.0 end the connection, 1.0 with keep-alive is told it may go on."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        response = await client.ask(get("/a", "Connection: close"))
        assert response.headers["connection"] == "close"
        assert await client.ended()
        client = await served.connect()
        assert (await client.ask(b"GET /a HTTP/1.0\r\n\r\n")).status == 200
        assert await client.ended()
        client = await served.connect()
        for _ in range(2):
            response = await client.ask(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert response.headers["connection"] == "keep-alive"


async def test_an_answer_to_head_has_no_body() -> None:
    """RFC 9110, 9.3.2: the length is there, the content is not, and the connection goes on."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        response = await client.ask(b"HEAD /a HTTP/1.1\r\nHost: test\r\n\r\n")
        assert response.headers["content-length"] == "8"
        assert (await client.ask(get("/a"))).body == b"GET /a\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: test\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxGET", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0", 400),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /a HTTP/1.1\r\nHost: test\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 100_000, 431),
        (b"GET /a HTTP/3.0\r\nHost: test\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ],
)
async def test_bad_heads_are_answered_and_the_connection_ends(sent: bytes, status: int) -> None:
    """Each gets its status, arrives although more was sent, ends the connection, and is counted."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        with structlog.testing.capture_logs() as logs:
            response = await client.ask(sent + get("/a"))
        assert [line["rate_limited"] for line in logs] == [status]
        assert (response.status, response.headers["connection"]) == (status, "close")
        assert response.body.strip()
        assert await client.ended()
        assert served.metrics.malformed == {"head": 1}
        other = await served.connect()
        assert (await other.ask(get("/a"))).status == 200


async def test_half_a_head_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """Slowloris: a head that does not end in time is answered 408, however its bytes trickle."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def trickle() -> None:
                await client.send(b"GET /a HTTP/1.1\r\nHost: test\r\nX: ")
                while True:
                    await trio.sleep(1)
                    await client.send(b"a")

            nursery.start_soon(trickle)
            response = await client.response()
            nursery.cancel_scope.cancel()
        assert response.status == 408
        assert 10 <= trio.current_time() - began < 10.5
        assert served.metrics.refused == {"late_head": 1}


async def test_silence_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """A new connection may be silent as long as a head may take, a kept-alive one longer."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        began = trio.current_time()
        assert await client.ended()
        assert 10 <= trio.current_time() - began < 10.5
        client = await served.connect()
        await client.ask(get("/a"))
        began = trio.current_time()
        assert await client.ended()
        assert 75 <= trio.current_time() - began < 75.5


async def test_a_later_head_has_the_heads_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """On a kept-alive connection a head that began must end as fast as a first one."""
    async with serving(ROUTES) as served:
        client = await served.connect()
        await client.ask(get("/a"))
        await trio.sleep(30)
        began = trio.current_time()
        await client.send(b"G")
        assert (await client.response()).status == 408
        assert 10 <= trio.current_time() - began < 10.5
        client = await served.connect()
        began = trio.current_time()
        assert (await client.ask(get("/a") + b"G")).status == 200
        assert (await client.response()).status == 408
        assert 10 <= trio.current_time() - began < 10.5


async def test_a_handler_has_no_deadline_of_the_door(autojump_clock: trio.testing.MockClock) -> None:
    """Once a request is handed over, how long it may take is its handler's business."""

    async def slow(connection: Connection, head: Head) -> bool:
        await trio.sleep(1000)
        return await connection.answer(head, 200)

    async with serving({"/slow": slow}) as served:
        client = await served.connect()
        assert (await client.ask(get("/slow"))).status == 200


async def test_a_fault_ends_its_own_connection_only() -> None:
    """A handler's unexpected exception is logged and counted; others are served on."""

    async def faulty(connection: Connection, head: Head) -> bool:
        async with trio.open_nursery():
            raise RuntimeError("a bug")

    async with serving({"/faulty": faulty, "/a": echo}) as served:
        other = await served.connect()
        await other.ask(get("/a"))
        client = await served.connect()
        with structlog.testing.capture_logs() as logs:
            await client.send(get("/faulty"))
            assert await client.ended()
        assert [entry["event"] for entry in logs] == ["serving a connection failed"]
        assert served.metrics.failures == 1
        assert b"broadcast_failures_total 1.0" in served.metrics.render()
        assert (await other.ask(get("/a"))).status == 200


async def test_a_client_that_goes_away_is_no_fault() -> None:
    """Ends and resets before, inside and after a request leave no trace in the log."""
    async with serving(ROUTES) as served:
        for sent in (b"", b"GET /a HT", post("/a", b"12345")[:-2], get("/a")):
            for reset in (False, True):
                client = await served.connect()
                await client.send(sent)
                await trio.testing.wait_all_tasks_blocked()
                if reset:
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                with structlog.testing.capture_logs() as logs:
                    await client.aclose()
                    await trio.testing.wait_all_tasks_blocked()
                assert logs == []
        assert served.metrics.failures == 0


async def test_stopping_ends_idle_connections_and_lets_requests_end() -> None:
    """After `stop` nothing is accepted, the idle are closed, and a request under way gets its answer."""
    gate = trio.Event()

    async def waiting(connection: Connection, head: Head) -> bool:
        await gate.wait()
        return await connection.answer(head, 200, "done")

    async with serving({"/waiting": waiting, "/a": echo}) as served:
        fresh, idle, half, busy = [await served.connect() for _ in range(4)]
        await idle.ask(get("/a"))
        await half.send(b"GET /a HTTP/1.1\r\n")
        await busy.send(get("/waiting") + get("/a"))
        await trio.testing.wait_all_tasks_blocked()
        served.door.stop()
        with socket.socket() as late, pytest.raises(ConnectionRefusedError):
            # At once, without a turn of the loop between: who is told to go must not come back here.
            late.connect(served.door.addresses[0])
        with trio.fail_after(PATIENCE_S):
            assert await fresh.ended()
            assert await idle.ended()
            with pytest.raises(OSError, match="all attempts to connect"):
                await served.connect()
            response = await half.ask(b"Host: test\r\n\r\n")
            assert (response.status, response.headers["connection"]) == (200, "close")
            gate.set()
            response = await busy.response()
            assert (response.body, response.headers["connection"]) == (b"done\n", "close")
            assert await busy.ended()


async def test_a_leaving_door_answers_everybody_once_more() -> None:
    """The port stays open; each answer is the last on its connection, for old ones and new; or not, again."""
    async with serving({"/a": echo}) as served:
        old, kept = await served.connect(), await served.connect()
        assert "connection" not in (await old.ask(get("/a"))).headers
        await kept.ask(get("/a"))
        served.door.leave()
        for client in (old, await served.connect()):
            response = await client.ask(get("/a"))
            assert (response.status, response.headers["connection"]) == (200, "close")
            assert await client.ended()
        served.door.leave(leaving=False)
        for client in (kept, await served.connect()):
            assert "connection" not in (await client.ask(get("/a"))).headers


async def test_serve_returns_when_the_last_connection_has_ended() -> None:
    """Two nurseries: accepting ends with `stop`, serving with the last client."""
    async with serving({"/a": echo}) as served:
        client = await served.connect()
        await client.send(b"GET /a HTTP/1.1\r\n")
        await trio.testing.wait_all_tasks_blocked()
        (serve,) = [task for task in served.nursery.child_tasks if "Door.serve" in task.name]
        served.door.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert serve in served.nursery.child_tasks
        await client.ask(b"Host: test\r\n\r\n")
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert serve not in served.nursery.child_tasks


async def test_running_out_of_descriptors_is_survived() -> None:
    """EMFILE is logged once a second, counted, and over as soon as descriptors are free again."""
    async with serving({"/a": echo}) as served:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.socket()
        client.setblocking(False)
        spare = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare.fileno() + 1, hard))
        try:
            with structlog.testing.capture_logs() as logs:
                assert client.connect_ex(served.door.addresses[0]) in (0, errno.EINPROGRESS)
                await trio.testing.wait_all_tasks_blocked()
                assert served.metrics.refused["exhausted"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            spare.close()
        assert {entry["log_level"] for entry in logs} == {"error"}
        assert all(entry["rate_limited"] for entry in logs)
        patient = Client(trio.SocketStream(trio.socket.from_stdlib_socket(client)))
        with trio.fail_after(PATIENCE_S):
            assert (await patient.ask(get("/a"))).status == 200
        await patient.aclose()


async def test_clients_leave_descriptors_for_the_node() -> None:
    """Who comes when all but a few are taken is let go and counted; the broker's connection has room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as spare:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare.fileno() + open_files.RESERVED + 12, hard))
    clients = []
    try:
        async with serving({"/a": echo}) as served:
            while not served.metrics.refused["exhausted"]:
                clients.append(await served.connect())
                await trio.testing.wait_all_tasks_blocked()
            assert len(clients) > 1
            assert (await clients[0].ask(get("/a"))).status == 200
            with trio.fail_after(PATIENCE_S):
                assert await clients[-1].stream.receive_some() == b""
            connections = [socket.socket() for _ in range(open_files.RESERVED // 2)]
            for connection in connections:
                connection.close()
            for client in clients:
                await client.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_lost_connection_does_not_end_accepting(monkeypatch: pytest.MonkeyPatch) -> None:
    """accept(2) may fail for the connection it would have returned; the next one is served."""
    failures = [errno.ECONNABORTED, errno.EPROTO]
    accept = socket.socket.accept

    def flaky(self: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise OSError(failures.pop(), "lost")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", flaky)
    async with serving(ROUTES) as served:
        client = await served.connect()
        assert (await client.ask(get("/a"))).status == 200
    assert failures == []


async def test_many_connections_at_once_are_all_accepted() -> None:
    """More connections than one turn accepts are all served."""
    async with serving(ROUTES) as served, trio.open_nursery() as nursery:

        async def one() -> None:
            client = await served.connect()
            assert (await client.ask(get("/a"))).status == 200

        for _ in range(200):
            nursery.start_soon(one)


async def test_limits_come_from_the_options() -> None:
    """`head_bytes_max` is the longest head that is read."""
    options = msgspec.structs.replace(LOCAL, head_bytes_max=100)
    async with serving(ROUTES, options=options) as served:
        client = await served.connect()
        filler = 100 - len(get("/a", "X: "))
        assert (await client.ask(get("/a", "X: " + "a" * filler))).status == 200
        assert (await client.ask(get("/a", "X: " + "a" * (filler + 1)))).status == 431
