"""What the publisher lets through, where it has it stored, and what it counts."""

import pytest

from node.broker.interface import BrokerRejected, BrokerUnavailable, HistoryOptions, Message, MessageTooLarge
from node.protocol.errors import CommandError
from node.protocol.messages import ClientInfo, StreamPosition
from tests.node.api.fakes import EPOCH, ApiParts


@pytest.fixture
def parts() -> ApiParts:
    return ApiParts()


async def code_of(parts: ApiParts, channel: str, data: bytes = b"1", **arguments: object) -> int:
    with pytest.raises(CommandError) as caught:
        await parts.publisher.publish(channel, data, **arguments)  # type: ignore[arg-type]
    assert parts.fake.published == []
    return caught.value.error.code


async def test_a_publication_is_stored_where_the_channel_keeps_history(parts: ApiParts) -> None:
    """The broker gets the namespace's history options and the whole message; its position is returned."""
    info = ClientInfo(user="u", client="c")
    position = await parts.publisher.publish("news", b"{}", info=info, tags={"a": "b"}, idempotency_key="k")
    assert position == StreamPosition(1, EPOCH)
    history = HistoryOptions(10, 60, 720 * 3600)
    assert parts.fake.published == [("news", Message(b"{}", info, {"a": "b"}), history, "k")]


async def test_a_plain_publication_has_no_position(parts: ApiParts) -> None:
    """Neither a channel without history nor a publication that skips it is stored."""
    assert await parts.publisher.publish("plain:a", b"{}") is None
    assert await parts.publisher.publish("news", b"{}", skip_history=True, tags={}) is None
    assert [entry[2] for entry in parts.fake.published] == [None, None]
    assert parts.fake.published[1][1] == Message(b"{}")


async def test_channels_are_checked(parts: ApiParts) -> None:
    """An illegal name is a bad request, an unknown namespace an unknown channel."""
    assert await code_of(parts, "") == 107
    assert await code_of(parts, "a" * 256) == 107
    assert await code_of(parts, "undefined:channel") == 102


@pytest.mark.parametrize(
    ("channel", "data", "allowed"),
    [
        ("news", b"", False),
        ("news", b"\xff", True),
        ("json:a", b"", False),
        ("json:a", b"[1]", True),
        ("json:a", b"[1", False),
        ("json:a", b'"\xff"', False),
        ("object:a", b' {"a":1}', True),
        ("object:a", b"[1]", False),
        ("object:a", b"{", False),
        ("binary:a", b"", True),
        ("binary:a", b"\xff", True),
    ],
)
async def test_data_is_what_the_namespace_takes(
    parts: ApiParts, channel: str, data: bytes, allowed: bool
) -> None:
    """`publication_data_format` decides; data may be empty only where it is binary."""
    if allowed:
        await parts.publisher.publish(channel, data)
        assert len(parts.fake.published) == 1
    else:
        assert await code_of(parts, channel, data) == 107


async def test_a_client_cannot_disconnect_the_others_with_its_data(parts: ApiParts) -> None:
    """Bytes that JSON subscribers cannot be sent are refused from clients unless the namespace wants them."""
    with pytest.raises(CommandError, match="not JSON"):
        await parts.publisher.publish("news", b"\xff", info=ClientInfo())
    await parts.publisher.publish("binary:a", b"\xff", info=ClientInfo())


async def test_a_message_the_broker_cannot_carry_is_a_bad_request(parts: ApiParts) -> None:
    """Too large is for good: it must not look like an error that is worth another try."""
    parts.fake.failure = MessageTooLarge("3 MB are over 1 MB")
    assert await code_of(parts, "news") == 107


async def test_an_idempotency_key_needs_a_store(parts: ApiParts) -> None:
    """A key that could not tell a repeat is refused instead of ignored."""
    assert await code_of(parts, "plain:a", idempotency_key="k") == 108
    assert await code_of(parts, "news", idempotency_key="k", skip_history=True) == 108


async def test_an_idempotency_key_is_an_identifier(parts: ApiParts) -> None:
    """A key that could break the broker's headers, or is none, is a bad request."""
    assert await code_of(parts, "news", idempotency_key="a\r\nb") == 107
    assert await code_of(parts, "news", idempotency_key="a" * 257) == 107


async def test_publications_are_counted_by_source_and_result(parts: ApiParts) -> None:
    """What was accepted counts by who published it, what was not by why."""
    await parts.publisher.publish("news", b"1")
    await parts.publisher.publish("news", b"1", info=ClientInfo())
    for failure in (BrokerUnavailable("gone"), BrokerRejected("no")):
        parts.fake.failure = failure
        with pytest.raises(type(failure)):
            await parts.publisher.publish("news", b"1")
    assert parts.metrics.publications_in == {"api": 1, "client": 1}
    assert parts.metrics.broker_publishes == {"accepted": 2, "unavailable": 1, "rejected": 1}
