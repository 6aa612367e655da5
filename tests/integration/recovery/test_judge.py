"""The judge of the recovery test says no to every kind of broken promise."""

import pytest

from tests.integration.recovery.judge import (
    Position,
    Publications,
    Record,
    Seen,
    Subscribed,
    caught_up,
    violations,
)

START = Position("e", 10)
FRESH = Subscribed(START, None, recovered=False)


def published(*offsets: int, epoch: str = "e") -> Publications:
    publications = Publications()
    for offset in offsets:
        publications.attempted.add(f"v{offset}")
        publications.accept("news", Position(epoch, offset), f"v{offset}")
    return publications


def record(*facts: Subscribed | Seen) -> Record:
    return Record("client", "news", list(facts))


def seen(*offsets: int) -> list[Seen]:
    return [Seen(offset, f"v{offset}") for offset in offsets]


def again(since: Position, *, recovered: bool) -> Subscribed:
    return Subscribed(since if recovered else Position("e", 99), since, recovered=recovered)


def test_a_perfect_record_is_no_violation() -> None:
    """Everything once, in order, over a recovery: nothing to say."""
    facts = [FRESH, *seen(11, 12), again(Position("e", 12), recovered=True), *seen(13, 15)]
    assert violations(record(*facts), published(5, 11, 12, 13, 15)) == []


def test_a_told_gap_is_no_violation() -> None:
    """`recovered: false` gives up what lies between, and starts anew."""
    facts = [FRESH, *seen(11), again(Position("e", 11), recovered=False), *seen(100)]
    assert violations(record(*facts), published(11, 12, 13, 100)) == []


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("lost", [FRESH, *seen(11, 13)]),
        ("lost", [FRESH, *seen(11, 12)]),
        ("lost", [FRESH, *seen(12, 13)]),
        ("lost", [FRESH, *seen(11), again(Position("e", 11), recovered=True), *seen(13)]),
        ("lost", [FRESH, *seen(12), again(Position("e", 12), recovered=False)]),
        ("doubled", [FRESH, *seen(11, 12, 12, 13)]),
        ("doubled", [FRESH, *seen(11, 12), again(Position("e", 12), recovered=True), *seen(12, 13)]),
        ("disordered", [FRESH, *seen(12, 11, 13)]),
        ("invented", [FRESH, *seen(11, 12, 13), Seen(14, "nobody's")]),
        ("invented", [FRESH, *seen(11), Seen(12, "v13"), Seen(13, "v12")]),
        ("early", [*seen(9), FRESH, *seen(11, 12, 13)]),
        ("false recovery", [FRESH, again(Position("other", 10), recovered=True), *seen(11, 12, 13)]),
        ("false recovery", [FRESH, Subscribed(START, None, recovered=True), *seen(11, 12, 13)]),
    ],
)
def test_every_broken_promise_is_named(kind: str, facts: list[Subscribed | Seen]) -> None:
    """A record with one lie in it is found out, by name."""
    assert {line.split(":")[0] for line in violations(record(*facts), published(11, 12, 13))} == {kind}


def test_what_was_stored_twice_is_doubled() -> None:
    """A publisher that tried again under its key has one publication, not the same one at two offsets."""
    publications = published(11)
    publications.accept("news", Position("e", 12), "v11")
    assert violations(record(FRESH, *seen(11), Seen(12, "v11")), publications) == [
        "doubled: client in news: v11 at 12"
    ]


def test_what_comes_late_is_lost_only_in_the_end() -> None:
    """A client still on its way has lost nothing yet, and is not called caught up."""
    late = record(FRESH, *seen(11))
    assert violations(late, published(11, 12), final=False) == []
    assert not caught_up(late, published(11, 12))
    assert caught_up(late, published(11))
