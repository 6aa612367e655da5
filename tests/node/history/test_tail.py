"""The tail: what it holds, what it can prove, and its bounds."""

from msgspec import Raw

from node.history.tail import Kept, Tail, kept
from node.protocol.messages import Publication


def publication(offset: int, size: int = 10) -> Publication:
    return Publication(Raw(b"x" * size), None, offset)


def tail_of(*offsets: int, base: int = 0, size_max: int = 100, bytes_max: int = 1_000_000) -> Tail:
    tail = Tail(size_max, bytes_max)
    tail.restart(base, stored=True)
    for offset in offsets:
        tail.append(publication(offset), 1000 * offset, 10)
    return tail


def offsets(entries: list[Kept] | None) -> list[int] | None:
    return None if entries is None else [entry.offset for entry in entries]


def test_since_brings_what_came_after() -> None:
    """Everything after a position is there, in order, also for positions that are no message's."""
    tail = tail_of(5, 8, 9, base=3)

    assert offsets(tail.since(3)) == [5, 8, 9]
    assert offsets(tail.since(6)) == [8, 9]
    assert offsets(tail.since(9)) == []
    assert offsets(tail.since(50)) == []


def test_nothing_is_proven_below_the_base() -> None:
    """A position before the tail's beginning is not guessed at."""
    assert tail_of(5, 8, base=3).since(2) is None


def test_oldest_are_dropped_by_count() -> None:
    """The count is bounded, and the base follows what was dropped."""
    tail = tail_of(5, 8, 9, 11, base=3, size_max=2)

    assert len(tail) == 2
    assert tail.base == 8
    assert tail.base_stored
    assert tail.since(7) is None
    assert offsets(tail.since(8)) == [9, 11]


def test_oldest_are_dropped_by_bytes() -> None:
    """The bytes are bounded, overhead included; a tail with room for nothing is empty and honest."""
    tail = tail_of(*range(1, 100), bytes_max=5000)

    assert 0 < tail.bytes <= 5000
    assert offsets(tail.since(97)) == [98, 99]
    tail.append(publication(100, 1_000_000), 0, 1_000_000)
    assert (len(tail), tail.bytes, tail.base) == (0, 0, 100)


def test_earlier_publications_are_put_before() -> None:
    """A page that reaches the tail extends it to the page's beginning, without doubles."""
    tail = tail_of(8, 9, base=7)
    page = [kept(publication(offset), 0) for offset in (4, 6, 7, 8)]

    assert tail.extend_back(3, 8, page)

    assert tail.base == 3
    assert not tail.base_stored
    assert offsets(tail.since(3)) == [4, 6, 7, 8, 9]
    assert tail.bytes == sum(entry.size for entry in tail.since(3) or [])


def test_page_that_does_not_reach_the_tail_is_not_used() -> None:
    """A hole between page and tail is no proof."""
    tail = tail_of(8, 9, base=7)

    assert not tail.extend_back(3, 6, [kept(publication(4), 0)])
    assert tail.since(3) is None


def test_later_base_changes_nothing() -> None:
    """A page that begins inside the tail brings nothing new."""
    tail = tail_of(8, 9, base=7)

    assert tail.extend_back(8, 9, [kept(publication(9), 0)])
    assert offsets(tail.since(7)) == [8, 9]


def test_held_tail_waits_with_dropping_but_not_for_ever() -> None:
    """While somebody waits for a page the count may grow, the bytes only to a multiple of the limit."""
    tail = tail_of(*range(1, 4), size_max=3, bytes_max=5000)
    tail.held = True
    for offset in range(4, 8):
        tail.append(publication(offset), 0, 10)
    assert len(tail) == 7
    for offset in range(8, 200):
        tail.append(publication(offset), 0, 10)
    assert 5000 < tail.bytes <= 20_000

    tail.held = False
    tail.trim()

    assert offsets(tail.since(196)) == [197, 198, 199]
    assert len(tail) == 3


def test_restart_forgets() -> None:
    """After a tombstone or a hole the tail begins anew."""
    tail = tail_of(5, 8, base=3)
    tail.restart(20, stored=False)

    assert (len(tail), tail.bytes, tail.base, tail.base_stored) == (0, 0, 20, False)
    assert tail.since(19) is None
    assert tail.since(20) == []
