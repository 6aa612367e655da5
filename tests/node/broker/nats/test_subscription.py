"""What a feed keeps of a subscription, without a server."""

import pytest

from node.broker.nats.feed import Feed
from node.broker.nats.protocol import Msg
from node.broker.nats.subscription import Handed, Subscription
from node.config.options import NatsOptions


class Kept(Subscription):
    """A subscription that is more than that, as an interest in a channel is."""

    __slots__ = ("received",)

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.received: list[Msg] = []

    def deliver(self, msg: Msg) -> None:
        self.received.append(msg)


def test_a_function_gets_the_messages() -> None:
    """What a function was subscribed for is handed to it as it is."""
    received: list[Msg] = []
    msg = Msg(b"a", b"", b"", b"1")
    Handed("a", received.append).deliver(msg)
    assert received == [msg]


def test_a_sid_stands_for_as_long_as_the_feed_has_the_subscription() -> None:
    """Each subscription has a sid of its own, none before it is added, and none when it was given back."""
    feed = Feed(NatsOptions(), name="test", on_broken=lambda: None, on_restored=lambda: None)
    first, second = Kept("a"), Kept("a")
    assert first.sid == b""
    feed.add(first)
    feed.add(second)
    assert first.sid not in (b"", second.sid)
    feed.unsubscribe(first)
    assert first.sid == b""
    with pytest.raises(ValueError, match="not a subject"):
        feed.add(Kept("a b"))
