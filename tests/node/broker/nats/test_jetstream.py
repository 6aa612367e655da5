"""What the JetStream API's answers mean."""

from typing import Any

import pytest

from node.broker.interface import BrokerRejected, BrokerUnavailable
from node.broker.nats.jetstream import JetStream, JetStreamError, parse_ack
from node.broker.nats.protocol import Msg


def answer(payload: bytes) -> Msg:
    return Msg(b"", b"", b"", payload)


def test_acknowledgement() -> None:
    """A stored message has a sequence, a repeated one that of the first."""
    ack = parse_ack(answer(b'{"stream":"s","seq":7}'))
    assert (ack.seq, ack.duplicate) == (7, False)
    ack = parse_ack(answer(b'{"stream":"s","seq":7,"duplicate": true,"domain":"d"}'))
    assert (ack.seq, ack.duplicate) == (7, True)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (
            b'{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}',
            BrokerUnavailable,
        ),
        (b'{"error":{"code":409,"err_code":10158,"description":"in process"}}', BrokerUnavailable),
        (b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"}}', JetStreamError),
        (b'{"error":{}}', JetStreamError),
        (b"", BrokerRejected),
        (b"OK", BrokerRejected),
        (b"\xff", BrokerRejected),
        (b'{"seq":"x"}', BrokerRejected),
        (b'{"stream":' + b"[" * 100_000, BrokerRejected),
    ],
)
def test_refusals(payload: bytes, error: type[Exception]) -> None:
    """What the server cannot do now may be tried again; anything else is an answer, in its words."""
    with pytest.raises(error) as caught:
        parse_ack(answer(payload))
    if b"description" in payload:
        assert payload.split(b'"')[-2].decode() in str(caught.value)


class Answers:
    """Answers every request with the same."""

    def __init__(self, payload: bytes) -> None:
        self._answer = answer(payload)

    async def request(self, *_arguments: Any, **_more: Any) -> Msg:
        return self._answer

    async def request_many(self, *_arguments: Any, **_more: Any) -> list[Msg]:
        return [self._answer]


async def test_missing_things_are_none() -> None:
    """No stream and no message are answers, not errors; other refusals are."""
    missing = JetStream(Answers(b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}'))
    assert await missing.info("s", deadline_s=1) is None
    with pytest.raises(JetStreamError):
        await missing.newest("s", "x", deadline_s=1)
    missing = JetStream(Answers(b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}'))
    assert await missing.newest("s", "x", deadline_s=1) is None
    with pytest.raises(JetStreamError):
        await missing.info("s", deadline_s=1)


async def test_unreadable_answers_are_rejections() -> None:
    """An answer of something else than JetStream is named, not guessed at."""
    for answered in (b"hello", b'{"config":' + b"[" * 100_000, b'{"created":"\xff"}'):
        with pytest.raises(BrokerRejected, match=r"STREAM\.INFO\.s cannot be read"):
            await JetStream(Answers(answered)).info("s", deadline_s=1)


async def test_no_stream_names() -> None:
    """An account without streams answers null."""
    assert await JetStream(Answers(b'{"total":0,"streams":null}')).names(">", deadline_s=1) == ()
