"""A page that says it is complete is: tried on a model whose replicas lag and disagree on time."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from node.broker.interface import Head, Live, Message, Page
from node.broker.nats import proofs
from node.broker.nats.proofs import Batch, Marked

MAX_AGE_S = 100.0
LIMIT = 3
MARKER = "marker"


@dataclass(frozen=True)
class Stored:
    """An entry of the stream's log, which all replicas agree on."""

    sequence: int
    channel: str
    time_ms: int
    tombstone: bool = False
    # Whether what is below a tombstone is gone already: the purge is a request of its own.
    purged: bool = False


def kept(log: list[Stored], now_ms: int) -> list[Stored]:
    """What a replica with this log still stores: the limit per channel, purges and its own clock."""
    per_channel: dict[str, list[Stored]] = {}
    for entry in log:
        messages = per_channel.setdefault(entry.channel, [])
        if entry.purged:
            messages.clear()
        messages.append(entry)
        if len(messages) > LIMIT:
            messages.pop(0)
    young = now_ms - MAX_AGE_S * 1000
    return sorted(
        (entry for messages in per_channel.values() for entry in messages if entry.time_ms > young),
        key=lambda entry: entry.sequence,
    )


def read(
    replicas: list[tuple[list[Stored], int]], since: int, asked: int, now_ms: int, rng: random.Random
) -> Page | None:
    """What `reads` does, each question answered by a replica of its own; None where it would ask again."""
    head_log, head_now = replicas[0]
    answer = kept(head_log, head_now)
    of_channel = [entry for entry in answer if entry.channel == "a"]
    marker = [entry for entry in answer if entry.channel == MARKER]
    if not marker:
        return None
    marked = Marked(marker[-1].sequence, marker[-1].time_ms)
    head = Head(of_channel[-1].sequence if of_channel else 0, head_log[-1].sequence, "e")
    oldest_ms = proofs.oldest_safe_ms(now_ms, MAX_AGE_S)

    def nothing_aged() -> bool:
        if proofs.marker_is_evidence(marked, since, oldest_ms):
            return True
        first = [entry.sequence for entry in kept(*replicas[2]) if entry.time_ms >= oldest_ms]
        return bool(first) and first[0] <= since + 1

    if head.offset <= since:
        return proofs.nothing_above(since, head, nothing_aged=head.offset > 0 or nothing_aged())
    messages = [
        Live(Message(b""), entry.sequence, 0, entry.time_ms, entry.tombstone)
        for entry in kept(*replicas[1])
        if entry.channel == "a" and entry.sequence >= max(since, 1)
    ]
    counted = len(messages)
    # From several answers, if the first one was cut.
    whole = len(replicas) < 4 or len(messages) < 2
    if not whole:
        messages = messages[: rng.randint(1, len(messages) - 1)]
        rest = [
            Live(Message(b""), entry.sequence, 0, entry.time_ms, entry.tombstone)
            for entry in kept(*replicas[3])
            if entry.channel == "a" and entry.sequence > messages[-1].offset
        ]
        messages += rest
        counted = max(counted, 1 + len(rest))
    batch = Batch(tuple(messages[: asked + 1]), len(messages) > asked + 1, whole, counted)
    if not proofs.reaches(batch, since, head) or proofs.changed_while_read(batch, since, LIMIT):
        return None
    aged = proofs.needs_age_evidence(batch, since, LIMIT) and nothing_aged()
    return proofs.make_page(batch, since, head, asked=asked, limit=LIMIT, nothing_aged=aged)


def some_stream(rng: random.Random) -> tuple[list[Stored], int]:
    """A log of a few messages of some channels, and a time behind it."""
    now_ms = 1_000_000
    log = [Stored(1, MARKER, now_ms)]
    for sequence in range(2, rng.randint(2, 14)):
        channel = rng.choice(["a", "a", "a", "b", MARKER])
        now_ms += rng.choice([0, 1_000, 5_000, 20_000, 60_000])
        tombstone = channel == "a" and rng.random() < 0.1
        log.append(Stored(sequence, channel, now_ms, tombstone, purged=tombstone and rng.random() < 0.5))
    if rng.random() < 0.5:
        return log, now_ms + rng.choice([0, 1_000, 50_000])
    # Some message is about to expire, and clocks do not agree whether it has.
    expires_ms = rng.choice(log).time_ms + round(MAX_AGE_S * 1000)
    return log, max(now_ms, expires_ms + rng.randint(-5_000, 5_000))


@pytest.mark.parametrize("seed", range(5))
def test_complete_is_never_a_lie(seed: int) -> None:
    """Whatever replicas answer, a complete page has all that was ever stored above its position."""
    rng = random.Random(seed)
    skew_ms = round(min(proofs.CLOCK_MARGIN_S, MAX_AGE_S / 10) * 1000) // 2
    found: Counter[tuple[bool, int]] = Counter()
    for _ in range(8000):
        log, now_ms = some_stream(rng)
        clocks = [now_ms + rng.randint(-skew_ms, skew_ms) for _ in range(5)]
        lengths = [max(1, len(log) - rng.choice([0, 0, 1, 2, 5])) for _ in range(rng.choice([3, 4]))]
        replicas = [(log[:length], clock) for length, clock in zip(lengths, clocks, strict=False)]
        since = max(0, len(log) - rng.randint(-2, 8))
        page = read(replicas, since, rng.choice([1, 2, 3, 6]), clocks[4], rng)
        if page is None:
            continue
        known = [entry for entry in log if entry.channel == "a" and since < entry.sequence <= page.head.up_to]
        if page.complete:
            assert [live.offset for live in page.messages] == [entry.sequence for entry in known]
            assert not any(entry.tombstone for entry in known)
            assert since <= page.head.up_to
        assert page.head.offset >= max((live.offset for live in page.messages), default=0)
        found[page.complete, len(page.messages)] += 1
    # Every kind of page came up, so that none of them was believed unseen.
    assert min(found[complete, count] for complete in (True, False) for count in range(LIMIT)) > 50


@pytest.mark.parametrize("seed", range(3))
def test_what_can_be_proved_is(seed: int) -> None:
    """A young stream whose replicas agree proves every page nothing was removed from."""
    rng = random.Random(seed)
    for _ in range(3000):
        log, now_ms = some_stream(rng)
        if now_ms - 1_000_000 > (MAX_AGE_S - proofs.CLOCK_MARGIN_S) * 1000:
            continue
        since = rng.randint(0, len(log) + 2)
        page = read([(log, now_ms)] * rng.choice([3, 4]), since, 10, now_ms, rng)
        assert page is not None
        above = [entry for entry in log if entry.channel == "a" and entry.sequence > since]
        stored = [entry for entry in kept(log, now_ms) if entry.channel == "a"]
        anchored = any(entry.sequence <= since for entry in stored)
        provable = since <= log[-1].sequence and not any(entry.tombstone for entry in above)
        reached_back = kept(log, now_ms)[0].sequence <= since + 1
        assert page.complete == (provable and (anchored or (len(above) < LIMIT and reached_back)))


def lives(*offsets: int) -> tuple[Live, ...]:
    return tuple(Live(Message(b""), offset) for offset in offsets)


@pytest.mark.parametrize(
    ("messages", "since", "aged", "complete"),
    [
        ((5, 6, 7), 5, False, True),  # the message at the position itself is still stored
        ((6, 7), 5, True, True),  # fewer than the limit, and nothing was removed by age
        ((6, 7), 5, False, False),  # fewer than the limit, but some may have been removed by age
        ((6, 7, 8), 5, True, False),  # as many as the limit: one more may have been removed
    ],
)
def test_the_rule(messages: tuple[int, ...], since: int, aged: bool, complete: bool) -> None:
    """Complete: a message at or before the position, or fewer than the limit and none too old."""
    head = Head(messages[-1], 9, "e")
    page = proofs.make_page(
        Batch(lives(*messages), more=False), since, head, asked=9, limit=3, nothing_aged=aged
    )
    assert page.complete == complete
    assert [live.offset for live in page.messages] == [offset for offset in messages if offset > since]


def test_more_than_a_channel_holds_was_read_while_it_changed() -> None:
    """An answer with more messages than the limit has lost some in the middle, perhaps: it proves nothing."""
    batch = Batch(lives(5, 6, 7, 9), more=False)
    assert proofs.changed_while_read(batch, 5, 3)
    assert not proofs.make_page(batch, 5, Head(9, 9, "e"), asked=9, limit=3, nothing_aged=True).complete


def test_streams_without_an_age_limit_lose_nothing_by_age() -> None:
    """Where messages do not age no evidence is needed."""
    assert proofs.oldest_safe_ms(5, float("inf")) == 0
    assert proofs.marker_is_evidence(Marked(100, 1), 1, 0)


def test_a_tombstone_hides_what_is_below_it() -> None:
    """Messages that a removal has not purged yet are not shown, and the page is not complete."""
    tombstone = Live(Message(b""), 7, tombstone=True)
    batch = Batch((*lives(5, 6), tombstone, *lives(8)), more=False)
    page = proofs.make_page(batch, 5, Head(8, 9, "e"), asked=9, limit=9, nothing_aged=True)
    assert (page.messages, page.complete) == ((tombstone, *lives(8)), False)
