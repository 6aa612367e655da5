"""The rules of recovery: what a page proves, and what a client at a position is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from node.broker.interface import Head, Live, Message, Page
from node.history.recovery import Limits, Need, Refusal, Stretch, answer, stretch_of, visible
from node.history.tail import Tail
from node.protocol.messages import Publication, StreamPosition
from tests.fakes.store import Store


def live(offset: int, previous: int = 0, *, tombstone: bool = False, time_ms: int = 0) -> Live:
    return Live(Message(b""), offset, previous, time_ms, tombstone)


def page(*messages: Live, complete: bool, head: int, up_to: int = 0) -> Page:
    return Page(messages, complete, Head(head, up_to or head, "e"))


def test_complete_page_proves_all_of_itself() -> None:
    """From the position asked to how far the read is true, beyond the last message."""
    messages = (live(5), live(8, 5))
    assert stretch_of(page(*messages, complete=True, head=8, up_to=12), 3) == Stretch(3, 12, messages)
    assert stretch_of(page(complete=True, head=2, up_to=12), 3) == Stretch(3, 12, ())


def test_incomplete_page_proves_nothing_of_what_it_shows() -> None:
    """Between its messages others may have been removed while it was read; only `since` is surely lost."""
    messages = (live(5), live(7, 5), live(8, 7))
    assert stretch_of(page(*messages, complete=False, head=8, up_to=12), 3) == Stretch(12, 12, (), 4)


def test_cut_page_loses_all_before_its_first() -> None:
    """Nothing is said of what follows the cut, and whoever is before the first missed as much."""
    messages = (live(5), live(7, 5))
    assert stretch_of(page(*messages, complete=False, head=20), 3) == Stretch(7, 7, (), 5)


def test_everything_below_a_tombstone_is_lost() -> None:
    """History that was removed is gone, even where the page still shows it."""
    messages = (live(5), live(7, 5, tombstone=True), live(8, 7))
    assert stretch_of(page(*messages, complete=False, head=8), 3) == Stretch(8, 8, (), 7)


def test_empty_incomplete_page_proves_nothing_before_its_end() -> None:
    """What may have come and gone is not invented."""
    assert stretch_of(page(complete=False, head=0, up_to=12), 3) == Stretch(12, 12, (), 4)
    # Nor does a read that got no further than the position itself.
    assert stretch_of(page(complete=False, head=0, up_to=3), 3) == Stretch(3, 3, ())


@given(
    st.lists(st.sampled_from(["a", "b", "purge", "wait"]), max_size=30),
    st.integers(0, 30),
    st.integers(0, 8),
    st.sampled_from([1, 3, 20]),
)
def test_stretch_has_no_hole_and_its_floor_is_true(
    actions: list[str], since: int, limit: int, size: int
) -> None:
    """Whatever was trimmed, expired, purged or cut: all that was accepted inside a stretch is in it."""
    store, now_s = Store(size, meta_ttl_s=3.0), 0.0
    for action in actions:
        if action == "wait":
            now_s += 2.0
        elif action == "purge":
            store.add("a", Message(b""), now_s, tombstone=True)
        else:
            store.add(action, Message(b""), now_s)
    replica = store.replica(now_s, leader=True)
    since = min(since, store.sequence)

    stretch = stretch_of(replica.page("a", since, limit, store.epoch), since)

    accepted = store.accepted.get((store.epoch, "a"), {})
    inside = [offset for offset in accepted if stretch.base < offset <= stretch.reach]
    assert [message.offset for message in stretch.messages] == inside
    assert since <= stretch.base <= stretch.reach
    for position in range(min(stretch.floor, store.sequence)):
        page = replica.page("a", position, limit, store.epoch)
        assert not page.complete


NOW_MS = 1_000_000.0
LIMITS = Limits(publications=3, ttl_s=100)


def tail_of(*offsets: int, base: int, stored: bool = True, time_ms: int = 1_000_000) -> Tail:
    tail = Tail(10, 1_000_000)
    tail.restart(base, stored=stored)
    for offset in offsets:
        tail.append(Publication(Raw(b""), None, offset), time_ms, 0)
    return tail


def ask(offset: int, tail: Tail, *, epoch: str = "e", seen: int = 20, floor: int = 0) -> object:
    missed = answer(StreamPosition(offset, epoch), "e", seen, tail, floor, LIMITS, NOW_MS)
    return [entry.offset for entry in missed] if isinstance(missed, list) else missed


@pytest.mark.parametrize(
    ("offset", "tail", "expected"),
    [
        (10, tail_of(11, 15, base=10), [11, 15]),
        (20, tail_of(11, 15, base=10), []),
        (21, tail_of(11, 15, base=10), Need.CATCH_UP),
        (9, tail_of(11, 15, base=10), Need.READ),
        (10, tail_of(11, 12, 13, base=10), [11, 12, 13]),
        (10, tail_of(11, 12, 13, 14, base=10), Refusal.LIMIT),
        (9, tail_of(11, 12, 13, base=10), Refusal.LIMIT),
        (9, tail_of(11, 12, 13, base=10, stored=False), Need.READ),
        (10, tail_of(11, 12, base=10, time_ms=900_000), [11, 12]),
        (10, tail_of(11, 12, base=10, time_ms=899_999), Refusal.EXPIRED),
        (12, tail_of(11, 12, base=10, time_ms=899_999), []),
    ],
)
def test_answer(offset: int, tail: Tail, expected: object) -> None:
    """From memory where it is proven; otherwise a read, or no."""
    assert ask(offset, tail) == expected


def test_answer_of_another_epoch() -> None:
    """A position of another sequence means nothing; an empty epoch stands for any (reference, section 6)."""
    tail = tail_of(11, base=10)
    assert ask(10, tail, epoch="_") is Refusal.EPOCH
    assert ask(10, tail, epoch="") == [11]


def test_known_floor_needs_no_read() -> None:
    """What a read could not prove once is not read again."""
    tail = tail_of(11, base=10)
    assert ask(7, tail, floor=8) is Refusal.REMOVED
    assert ask(8, tail, floor=8) is Need.READ


def test_visible() -> None:
    """Readers see what is above the last tombstone and not older than history_ttl, at most history_size."""
    old, new = 899_999, 900_000
    messages = [live(1, time_ms=old), live(2, time_ms=new), live(3, time_ms=new), live(4, time_ms=new)]

    assert visible(messages, 10, 100, NOW_MS) == messages[1:]
    assert visible(messages, 2, 100, NOW_MS) == messages[2:]
    hidden = [*messages, live(5, time_ms=new, tombstone=True), live(6, time_ms=new)]
    assert visible(hidden, 10, 100, NOW_MS) == hidden[-1:]
