"""The API in JSON, as pycent and other backends send and read it."""

import json

import pytest

from node.broker.interface import BrokerUnavailable
from node.members import NodeInfo
from tests.node.api.fakes import EPOCH, ApiParts

STORED = '{"result":{"offset":1,"epoch":"e1"}}'
UNKNOWN = '{"error":{"code":102,"message":"unknown channel"}}'


@pytest.fixture
def parts() -> ApiParts:
    return ApiParts([NodeInfo("u1", "n1")])


async def call(
    parts: ApiParts, method: str, body: str | bytes, *, transport: bool = False
) -> tuple[int, str]:
    raw = body.encode() if isinstance(body, str) else body
    answer = await parts.json.call(method, raw, transport_errors=transport)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize(
    ("method", "body", "answer"),
    [
        ("publish", '{"channel":"news","data":{"a":[1]}}', STORED),
        ("publish", '{"channel":"plain:a","data":1}', '{"result":{}}'),
        ("publish", '{"channel":"undefined:a","data":1}', UNKNOWN),
        ("publish", '{"channel":"news"}', '{"error":{"code":107,"message":"bad request"}}'),
        ("publish", '{"channel":"news","data":1,"extra":{"x":[]}}', STORED),
        ("publish", '{"channel":"news","data":1,"tags":null,"idempotency_key":null}', STORED),
        ("broadcast", '{"channels":["news","undefined:a"],"data":1}',
         '{"result":{"responses":[' + STORED + "," + UNKNOWN + "]}}"),
        ("history", '{"channel":"news"}', '{"result":{"publications":[],"epoch":"e1","offset":0}}'),
        ("history", '{"channel":"news","limit":1,"since":{"offset":1,"epoch":"e0"}}',
         '{"error":{"code":112,"message":"unrecoverable position"}}'),
        ("history_remove", '{"channel":"news"}', '{"result":{}}'),
        ("info", "{}", '{"result":{"nodes":[{"uid":"u1","name":"n1"}]}}'),
        ("rpc", '{"method":"x"}', '{"error":{"code":104,"message":"not found"}}'),
        ("presence", '{"channel":"news"}', '{"error":{"code":108,"message":"not available"}}'),
        ("channels", "{}", '{"error":{"code":108,"message":"not available"}}'),
        ("batch", '{"commands":[]}', '{"replies":[]}'),
    ],
)  # fmt: skip
async def test_calls_are_answered_as_the_reference_says(
    parts: ApiParts, method: str, body: str, answer: str
) -> None:
    """Always 200; a result or an error; zero values left out except those that must be there."""
    assert await call(parts, method, body) == (200, answer)


@pytest.mark.parametrize(
    ("method", "body", "status", "code"),
    [
        ("publish", '{"channel":"undefined:a","data":1}', 404, 102),
        ("rpc", '{"method":"x"}', 404, 104),
        ("publish", '{"channel":"news"}', 400, 107),
        ("history", '{"channel":"plain:a"}', 400, 108),
        ("history", '{"channel":"news","since":{"epoch":"e0"}}', 416, 112),
    ],
)
async def test_errors_as_statuses(parts: ApiParts, method: str, body: str, status: int, code: int) -> None:
    """In the transport error mode the status carries the error and the body is the bare error."""
    got, answer = await call(parts, method, body, transport=True)
    assert (got, json.loads(answer)["code"]) == (status, code)


async def test_a_broker_failure_is_a_500_in_transport_mode(parts: ApiParts) -> None:
    """Code 100 maps to 500; without the mode it is 200 with the error."""
    parts.fake.failure = BrokerUnavailable("gone")
    body = '{"channel":"news","data":1}'
    assert await call(parts, "publish", body, transport=True) == (
        500,
        '{"code":100,"message":"internal server error"}',
    )
    assert (await call(parts, "publish", body))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"channel":1,"data":1}',
        b'{"channel":null,"data":}',
        b'{"channel":"news","data":"\xff"}',
        b'{"channel":"news","data":' + b"[" * 100_000,
        b'{"channel":null,"x":' + b"[" * 100_000,
        b'{"channel":"news","data":1} x',
        b'{"channel":"news","data":1,"tags":{"a":1}}',
        b'{"channel":"news","data":1,"version":-1}',
    ],
)
async def test_what_is_not_a_request_is_a_bad_request(parts: ApiParts, body: bytes) -> None:
    """Undecodable JSON, wrong types and invalid UTF-8 are a 400 in text, counted, and publish nothing."""
    answer = await parts.json.call("publish", body)
    assert (answer.status, answer.body) == (400, b"Bad Request\n")
    assert parts.metrics.malformed == {"api": 1}
    assert parts.fake.published == []


async def test_unknown_methods_are_not_found(parts: ApiParts) -> None:
    """Also the empty name and those of other products."""
    for method in ("", "publish/", "device_list", "batch2"):
        assert (await call(parts, method, "{}"))[0] == 404


async def test_data_is_embedded_as_it_came(parts: ApiParts) -> None:
    """A payload keeps its bytes: spaces, order of keys, and numbers JSON libraries would round."""
    data = '{"b": 1.10, "a":12345678901234567890123, "é":"\\u0000"}'
    await call(parts, "publish", '{"data":' + data + ',"channel":"news"}')
    _, answer = await call(parts, "history", '{"channel":"news","limit":-1}')
    assert data in answer
    assert json.loads(answer)["result"]["publications"][0]["offset"] == 1


async def test_history_of_binary_data_is_no_broken_json(parts: ApiParts) -> None:
    """What JSON cannot carry is an error, never invalid JSON."""
    await call(parts, "publish", '{"channel":"news","b64data":"/w=="}')
    _, answer = await call(parts, "history", '{"channel":"news","limit":1}')
    assert json.loads(answer)["error"]["code"] == 108


async def test_a_repeated_key_returns_the_first_position(parts: ApiParts) -> None:
    """Two publishes with one idempotency key have one offset."""
    body = '{"channel":"news","data":1,"idempotency_key":"k"}'
    assert await call(parts, "publish", body) == await call(parts, "publish", body)
    assert len(parts.fake.published) == 1


@pytest.mark.parametrize("parallel", ["true", "false"])
async def test_a_batch_answers_in_order(parts: ApiParts, parallel: str) -> None:
    """Each reply stands under its method's name, an error under `error`; null and unknown have theirs."""
    commands = [
        '{"publish":{"channel":"news","data":1}}',
        '{"publish":{"channel":"undefined:a","data":1}}',
        "null",
        "{}",
        '{"device_list":{}}',
        '{"publish":null}',
        '{"publish":{},"info":{}}',
        '{"history_remove":{"channel":"empty"}}',
    ]
    body = f'{{"commands":[{",".join(commands)}],"parallel":{parallel}}}'
    _, answer = await call(parts, "batch", body)
    replies = json.loads(answer)["replies"]
    assert replies[0] == {"publish": {"offset": 1, "epoch": EPOCH}}
    assert [reply.get("error", {}).get("code") for reply in replies] == [
        None, 102, 107, 104, 104, 104, 107, None,
    ]  # fmt: skip
    assert replies[-1] == {"history_remove": {}}


async def test_a_batch_is_sequential_unless_asked(parts: ApiParts) -> None:
    """Commands run one after the other by default and together with `parallel`."""
    commands = ",".join(['{"publish":{"channel":"news","data":1}}'] * 5)
    await call(parts, "batch", f'{{"commands":[{commands}]}}')
    assert parts.fake.at_once_max == 1
    await call(parts, "batch", f'{{"commands":[{commands}],"parallel":true}}')
    assert parts.fake.at_once_max == 5


async def test_a_batch_with_one_bad_command_runs_none(parts: ApiParts) -> None:
    """Decoding comes first: half a batch is never published."""
    body = '{"commands":[{"publish":{"channel":"news","data":1}},{"publish":{"channel":5}}]}'
    assert (await call(parts, "batch", body))[0] == 400
    assert parts.fake.published == []


async def test_legacy_lines_are_answered_line_by_line(parts: ApiParts) -> None:
    """`POST /api` takes newline-joined commands and answers each in order."""
    body = (
        b'{"method":"publish","params":{"channel":"news","data":1}}\n'
        b'{"method":"publish","params":{"channel":"undefined:a","data":1}}\n'
        b'{"method":"info"}\n{"method":"nothing","params":{}}\n'
    )
    answer = await parts.json.call_legacy(body)
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.status == 200
    assert lines[0] == {"result": {"offset": 1, "epoch": EPOCH}}
    assert [line.get("error", {}).get("code") for line in lines] == [None, 102, None, 104]


@pytest.mark.parametrize("body", [b"", b"\n", b"[]", b'{"method":1}', b"\xff"])
async def test_bad_legacy_bodies_are_bad_requests(parts: ApiParts, body: bytes) -> None:
    """Nothing to do, wrong types and invalid UTF-8."""
    assert (await parts.json.call_legacy(body)).status == 400
