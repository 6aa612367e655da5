"""The server API over a door, as backends call it."""

import json
from collections.abc import AsyncIterator

import pytest
import structlog
import trio
from msgspec.structs import replace

from node.access.api_key import ApiKeyCheck
from node.config.options import Duration, HttpApiOptions
from node.door.http_api import PATH, PREFIX, HttpApi
from tests.node.api.fakes import ApiParts
from tests.node.door.clients import Client, Response, Served, serving

OPTIONS = HttpApiOptions(key="secret", body_bytes_max=1000)
BODY = b'{"channel":"news","data":{"a":1}}'
STORED = b'{"result":{"offset":1,"epoch":"e1"}}'


class Calls:
    """A door with the API behind it."""

    def __init__(self, served: Served, parts: ApiParts) -> None:
        self.served = served
        self.parts = parts

    async def connect(self) -> Client:
        return await self.served.connect()

    async def once(self, raw: bytes) -> Response:
        return await (await self.connect()).ask(raw)


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    parts = ApiParts()
    api = HttpApi(parts.json, ApiKeyCheck(OPTIONS), OPTIONS, parts.metrics)
    routes = {PATH: api.serve, PREFIX: api.serve}
    async with serving(routes, metrics=parts.metrics) as served:
        yield Calls(served, parts)


def post(
    path: str = "/api/publish",
    body: bytes = BODY,
    *fields: str,
    key: str = "X-API-Key: secret",
    method: str = "POST",
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    length = len(body) if length is None else length
    lines = (f"{method} {path} HTTP/{version}", "Host: test", key, f"Content-Length: {length}", *fields)
    return "\r\n".join(line for line in lines if line).encode() + b"\r\n\r\n" + body


async def test_a_call_is_answered(calls: Calls) -> None:
    """200, JSON, a length, and the connection goes on."""
    client = await calls.connect()
    response = await client.ask(post())
    assert (response.status, response.body) == (200, STORED)
    assert response.headers["content-type"] == "application/json"
    assert "connection" not in response.headers
    for _ in range(3):
        assert (await client.ask(post())).status == 200
    assert len(calls.parts.fake.published) == 4


async def test_pipelined_calls_are_answered_in_order(calls: Calls) -> None:
    """Several calls in one write each publish and are answered in turn."""
    client = await calls.connect()
    await client.send(post() * 20)
    offsets = [json.loads((await client.response()).body)["result"]["offset"] for _ in range(20)]
    assert offsets == list(range(1, 21))


async def test_a_call_may_come_in_pieces(calls: Calls) -> None:
    """Head and body are put together however they arrive."""
    client = await calls.connect()
    raw = post()
    for index in range(0, len(raw), 11):
        await client.send(raw[index : index + 11])
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.response()).body == STORED


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/publish", "X-API-Key: secret", 200),
        ("/api/publish", "Authorization: apikey secret", 200),
        ("/api/publish", "Authorization: APIKEY secret", 200),
        ("/api/publish?api_key=secret", "", 200),
        ("/api/publish", "", 401),
        ("/api/publish", "X-API-Key: wrong", 401),
        ("/api/publish?api_key=secret", "X-API-Key:", 401),
        ("/api/publish", "Authorization: Bearer secret", 401),
        ("/api/publish?api_key=wrong", "", 401),
        ("/api", "", 401),
        ("/api/nothing", "", 401),
    ],
)
async def test_the_key_decides(calls: Calls, path: str, key: str, status: int) -> None:
    """Each place a key may stand in is read; a wrong one is a 401 with an empty body, counted and logged."""
    client = await calls.connect()
    with structlog.testing.capture_logs() as logs:
        response = await client.ask(post(path, key=key))
    assert response.status == status
    if status == 401:
        assert response.body == b""
        assert calls.parts.metrics.refused == {"api_401": 1}
        assert [line["rate_limited"] for line in logs] == [401]
        assert "secret" not in str(logs)
        assert "wrong" not in str(logs[0].get("path"))
    # The body of a refused call was read past: the connection is still good.
    assert (await client.ask(post())).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post(method="GET", body=b""), 405),
        (post(method="PUT"), 405),
        (post(method="HEAD", body=b""), 405),
        (post("/api", method="GET", body=b""), 405),
        (post("/api/nothing"), 404),
        (post("/api/"), 404),
        (post(body=b"{"), 400),
        (post(body=b""), 400),
        (post(body=b'{"channel":5}'), 400),
        (post(body=b'{"channel":"news","data":"\xff"}'), 400),
    ],
)
async def test_bad_calls_are_answered_and_the_connection_goes_on(
    calls: Calls, raw: bytes, status: int
) -> None:
    """Wrong methods, names and bodies get their status, and cost the caller nothing else."""
    client = await calls.connect()
    response = await client.ask(raw)
    assert response.status == status
    if status == 405:
        assert response.headers["allow"] == "POST"
    assert (await client.ask(post())).body == STORED


async def test_a_body_too_long_is_refused_unread(calls: Calls) -> None:
    """413 at once, from the head alone; the answer arrives and the connection ends."""
    client = await calls.connect()
    response = await client.ask(post(body=b"x" * 200_000))
    assert (response.status, response.headers["connection"]) == (413, "close")
    assert await client.ended()


async def test_the_longest_body_is_read(calls: Calls) -> None:
    """`body_bytes_max` bytes are served, one more is not."""
    filler = OPTIONS.body_bytes_max - len(BODY)
    assert (await calls.once(post(body=BODY + b" " * filler))).status == 200
    assert (await calls.once(post(body=BODY + b" " * (filler + 1)))).status == 413


async def test_a_wrong_key_is_not_asked_for_its_body(calls: Calls) -> None:
    """An unauthorised upload is ended instead of read."""
    client = await calls.connect()
    response = await client.ask(post(key="", body=b"", length=900))
    assert (response.status, response.headers["connection"]) == (401, "close")
    assert await client.ended()


async def test_half_a_body_has_a_deadline(calls: Calls, autojump_clock: trio.testing.MockClock) -> None:
    """A body that does not come is a 408 after `body_deadline_s`, however its bytes trickle."""
    client = await calls.connect()
    began = trio.current_time()
    await client.send(post()[:-5])
    await trio.sleep(OPTIONS.body_deadline_s - 1)
    await client.send(b"x")
    assert (await client.response()).status == 408
    assert trio.current_time() - began == pytest.approx(OPTIONS.body_deadline_s)
    assert calls.parts.fake.published == []


async def test_expected_continue_is_said(calls: Calls) -> None:
    """RFC 9110, 10.1.1: a client that waits for it is told to go on, and only when its body is wanted."""
    client = await calls.connect()
    await client.send(post(body=b"", length=len(BODY)).replace(b"Host", b"Expect: 100-continue\r\nHost"))
    assert await client.receive_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(BODY)
    assert (await client.response()).body == STORED
    refused = post(key="", body=b"", length=len(BODY)).replace(b"Host", b"Expect: 100-continue\r\nHost")
    assert (await calls.once(refused)).status == 401
    with_body = post().replace(b"Host", b"Expect: 100-continue\r\nHost")
    assert (await calls.once(with_body)).status == 200


async def test_errors_as_statuses_on_request(calls: Calls) -> None:
    """X-Centrifugo-Error-Mode: transport turns an error into a status."""
    unknown = b'{"channel":"undefined:a","data":1}'
    assert (await calls.once(post(body=unknown))).status == 200
    response = await calls.once(post("/api/publish", unknown, "X-Centrifugo-Error-Mode: transport"))
    assert (response.status, json.loads(response.body)["code"]) == (404, 102)


async def test_the_legacy_form_is_served(calls: Calls) -> None:
    """`POST /api` with several lines."""
    body = b'{"method":"publish","params":{"channel":"news","data":1}}\n{"method":"info","params":{}}'
    response = await calls.once(post("/api", body))
    assert response.body == STORED + b'\n{"result":{"nodes":[]}}'


async def test_http_1_0_is_served(calls: Calls) -> None:
    """Old clients get their answer, and the connection ends unless they asked to keep it."""
    client = await calls.connect()
    response = await client.ask(post("/api/publish", BODY, "Connection: keep-alive", version="1.0"))
    assert (response.status, response.headers["connection"]) == (200, "keep-alive")
    assert (await client.ask(post(version="1.0"))).headers["connection"] == "close"
    assert await client.ended()


async def test_a_call_under_way_is_served_to_its_end_when_the_node_stops(calls: Calls) -> None:
    """What was being published is answered, with `Connection: close`."""
    calls.parts.fake.gate = trio.Event()
    client = await calls.connect()
    await client.send(post())
    await trio.testing.wait_all_tasks_blocked()
    calls.served.door.stop()
    calls.parts.fake.gate.set()
    response = await client.response()
    assert (response.body, response.headers["connection"]) == (STORED, "close")
    assert await client.ended()


@pytest.mark.parametrize(
    ("options", "status"), [(HttpApiOptions(), 401), (HttpApiOptions(insecure=True), 200)]
)
async def test_no_key_lets_nobody_in_unless_insecure(options: HttpApiOptions, status: int) -> None:
    """Without a key every call is a 401; `insecure` is the only way to switch the check off."""
    parts = ApiParts()
    api = HttpApi(
        parts.json, ApiKeyCheck(options), replace(options, body_deadline_s=Duration(1)), parts.metrics
    )
    async with serving({PREFIX: api.serve}) as served:
        client = await served.connect()
        assert (await client.ask(post(key="X-API-Key: "))).status == status
