"""When a page of stored messages is complete: what answers of direct gets prove, and what not. Pure.

What JetStream removes from a channel it removes oldest first: by the limit per subject, by age, or by the
purge behind a tombstone. So a message that is still stored proves that nothing after it was removed.
A page from (epoch, S) is complete if and only if

* the channel still stores a message at or before S, or
* it stores fewer messages than the limit, while nothing after S has been removed by age: the stream still
  stores a message, of any channel, at or before S + 1;

and no tombstone lies above S. Any replica may answer, at any moment, and each drops old messages by its
own clock. So evidence is taken from the same answer as the messages, or it is a fact that does not depend
on the replica: a message at or before S + 1 that is *younger than the age limit, by a margin for clocks*
was removed by age nowhere, and nothing after it.

A page put together from several answers, of replicas and moments of their own, proves as much with two
precautions. What its first message shows says nothing of the later answers: age is to be ruled out as a fact.
And who looks for a message that the limit has removed finds as many as the limit behind it: so each answer's
count is held against the limit, what is left out at its end included. The page alone would not do: a replica
that lags may have given its end.

Removing single messages, or purging a channel, with other tools than this project's is outside of this.
"""

from typing import NamedTuple

from node.broker.interface import Head, Live, Page

# How far the clocks of nodes and servers may lie apart; a tenth of the age limit where that is less.
CLOCK_MARGIN_S = 10.0


class Batch(NamedTuple):
    """A channel's messages from a sequence on.

    Attributes:
        messages: ascending.
        more: as many messages as were asked for, and more were stored.
        whole: one answer of one replica; or several, each from behind the last message of the one before.
        counted: the most messages that one answer knew of, the last one of the answer before it included.
    """

    messages: tuple[Live, ...]
    more: bool
    whole: bool = True
    counted: int = 0

    @property
    def stored(self) -> int:
        """Messages that the channel has had at one time, at least."""
        return max(self.counted, len(self.messages))


class Marked(NamedTuple):
    """Where and when the stream's marker is stored."""

    sequence: int
    time_ms: int


def oldest_safe_ms(now_ms: int, max_age_s: float) -> int:
    """Messages stored at or after this time have been removed by age nowhere; 0 if none ever is."""
    if max_age_s == float("inf"):
        return 0
    return now_ms - round((max_age_s - min(CLOCK_MARGIN_S, max_age_s / 10)) * 1000)


def reaches(batch: Batch, since: int, head: Head) -> bool:
    """Whether a batch has all that its channel's head demands; if not, a replica that lags gave it."""
    newest = batch.messages[-1].offset if batch.messages else 0
    return batch.more or head.offset <= since or newest >= head.offset


def changed_while_read(batch: Batch, since: int, limit: int) -> bool:
    """Whether messages were removed while the batch was put together: more than a channel can hold.

    Args:
        batch: from `since` itself on.
        since: exclusive start of the page.
        limit: messages a channel can hold.
    """
    return bool(batch.messages) and batch.messages[0].offset <= since and batch.stored > limit


def needs_age_evidence(batch: Batch, since: int, limit: int) -> bool:
    """Whether completeness hangs on whether anything after `since` was removed by age."""
    if batch.more or any(live.tombstone and live.offset > since for live in batch.messages):
        return False
    if batch.messages and batch.messages[0].offset <= since:
        return not batch.whole
    return batch.stored < limit


def make_page(batch: Batch, since: int, head: Head, *, asked: int, limit: int, nothing_aged: bool) -> Page:
    """A page and what it proves.

    Args:
        batch: from `since` itself on, `asked` + 1 messages at most; `reaches` the head.
        since: exclusive.
        head: read before the batch.
        asked: messages the caller wants at most.
        limit: messages a channel can hold.
        nothing_aged: proved that nothing after `since` was removed by age.
    """
    above = [live for live in batch.messages if live.offset > since]
    anchored = len(above) < len(batch.messages) and batch.stored <= limit
    cut = batch.more or len(above) > asked
    above = above[:asked]
    tombstones = [position for position, live in enumerate(above) if live.tombstone]
    proven = (anchored and (batch.whole or nothing_aged)) or (batch.stored < limit and nothing_aged)
    complete = not cut and not tombstones and proven
    if tombstones:
        above = above[tombstones[-1] :]
    newest = above[-1].offset if above else 0
    reached = Head(max(head.offset, newest), max(head.up_to, newest), head.epoch)
    return Page(tuple(above), complete, reached)


def nothing_above(since: int, head: Head, *, nothing_aged: bool) -> Page:
    """The page of a channel whose head is not above `since`.

    The head itself, at or before `since`, is the message that proves that nothing after it was removed.
    """
    complete = since <= head.up_to and (head.offset > 0 or nothing_aged)
    return Page((), complete, head)


def marker_is_evidence(marked: Marked, since: int, oldest_ms: int) -> bool:
    """Whether the marker alone proves that nothing after `since` was removed by age."""
    return oldest_ms == 0 or (marked.sequence <= since + 1 and marked.time_ms >= oldest_ms)
