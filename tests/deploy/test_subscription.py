"""Tests of `deploy.subscription`: the protocol as a subscriber speaks it, without a network."""

import json

import pytest
from msgspec import Raw

from deploy.subscription import Connected, Ended, Ping, Subscribed, Subscription, closed
from node.protocol.messages import Publication, StreamPosition


def commands(subscription: Subscription) -> list[dict[str, object]]:
    return [json.loads(line) for line in subscription.first_frame().splitlines()]


def test_the_first_frame_connects_and_subscribes() -> None:
    """One round trip is enough: both commands travel together."""
    connect, subscribe = commands(Subscription("news", token="t"))
    assert connect == {"id": 1, "connect": {"name": "broadcast", "token": "t"}}
    assert subscribe == {"id": 2, "subscribe": {"channel": "news", "recoverable": True}}


def test_a_frame_is_read_in_order() -> None:
    """Replies, pushes and pings of one frame come out one after another."""
    subscription = Subscription("news")
    frame = (
        '{"id":1,"connect":{"client":"c","ping":25,"pong":true}}\n'
        '{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4}}\n{}\n'
        '{"push":{"channel":"news","pub":{"data":{"a":1},"offset":9}}}'
    )
    publication = Publication(data=Raw(b'{"a":1}'), offset=9)
    assert subscription.receive(frame) == [
        Connected(25),
        Subscribed(recovering=False, recovered=False, missed=0),
        Ping(),
        publication,
    ]
    assert subscription.position == StreamPosition(9, "e")


def test_a_line_ends_at_a_line_feed_only() -> None:
    """What Unicode counts among the ends of lines is text in JSON, and may stand there as it is."""
    subscription = Subscription("news")
    (publication,) = subscription.receive(
        '{"push":{"channel":"news","pub":{"data":"\u2028\u2029\u0085","offset":1}}}'
    )
    assert publication == Publication(data=Raw('"\u2028\u2029\u0085"'.encode()), offset=1)


def test_it_goes_on_from_its_position() -> None:
    """After a reconnect recovery is asked from the last publication, and missed ones move it on."""
    subscription = Subscription("news", since=StreamPosition(4, "e"))
    assert commands(subscription)[1]["subscribe"] == {
        "channel": "news",
        "recoverable": True,
        "recover": True,
        "epoch": "e",
        "offset": 4,
    }
    events = subscription.receive(
        '{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":4,"recovered":true,'
        '"was_recovering":true,"publications":[{"data":1,"offset":6},{"data":2,"offset":7}]}}'
    )
    assert events[0] == Subscribed(recovering=True, recovered=True, missed=2)
    assert subscription.position == StreamPosition(7, "e")


def test_without_recovery_it_begins_where_the_server_stands() -> None:
    """An answer that could not recover gives a new epoch, and the old position is forgotten."""
    subscription = Subscription("news", since=StreamPosition(4, "old"))
    subscription.receive(
        '{"id":2,"subscribe":{"recoverable":true,"epoch":"new","offset":2,"was_recovering":true}}'
    )
    assert subscription.position == StreamPosition(2, "new")


def test_a_channel_without_history_has_no_position() -> None:
    """Nothing is claimed about channels that keep nothing."""
    subscription = Subscription("news")
    subscription.receive('{"id":2,"subscribe":{}}\n{"push":{"channel":"news","pub":{"data":1}}}')
    assert subscription.position is None


@pytest.mark.parametrize(
    ("frame", "ended"),
    [
        (
            '{"id":2,"error":{"code":103,"message":"permission denied"}}',
            Ended(103, "permission denied", False),
        ),
        ('{"id":2,"error":{"code":100,"message":"x","temporary":true}}', Ended(100, "x", True)),
        ('{"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"x"}}}', Ended(2000, "x", False)),
        ('{"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"x"}}}', Ended(2500, "x", True)),
    ],
)
def test_whether_to_come_back_follows_from_the_code(frame: str, ended: Ended) -> None:
    """A refusal is final where the protocol says so, and only there."""
    assert Subscription("news").receive(frame) == [ended]


@pytest.mark.parametrize(
    ("code", "again"), [(1006, True), (3001, True), (3500, False), (4000, True), (4500, False)]
)
def test_close_codes(code: int, again: bool) -> None:
    """A closed connection is tried again unless its code forbids it."""
    assert closed(code, "").again is again


def test_what_is_not_ours_is_left_alone() -> None:
    """Other channels' pushes and empty answers are no events; garbage is a ValueError."""
    subscription = Subscription("news")
    assert subscription.receive('{"push":{"channel":"x","pub":{"data":1}}}\n{"id":7,"publish":{}}\n') == []
    with pytest.raises(ValueError, match="malformed"):
        subscription.receive("no!!")
