"""The live chain of one channel: which live messages may be delivered, and when something is missing.

Pure: no trio, no clock. Every stored message names the one stored before it in its channel, so a lost
copy shows. A chain knows nothing of subscribers or of how missing messages are fetched: it says what is
to be done, and is told what was found.

What a chain holds true: everything stored in the channel up to and including `seen` has been accounted
for, in order; `head` is the last stored message among it, and nothing of the channel lies between the
two. `seen` goes beyond `head` where a read proved that nothing came since.
"""

from enum import Enum

from node.broker.interface import Head, Live


class Step(Enum):
    """What a live message means to the chain."""

    DUPLICATE = "duplicate"  # accounted for already: drop it
    NEXT = "next"  # follows the last one: deliver it
    GAP = "gap"  # stored messages are missing before it: read from `seen`, it waits
    UNKNOWN = "unknown"  # nobody can say what came before it: read from `seen`, it waits
    WAIT = "wait"  # a read is under way: it waits


def step_of(head: int, seen: int, offset: int, previous: int) -> Step:
    """What a stored message means to a chain that is at (head, seen); see Step.

    `previous` 0 says that nothing was stored before this message at that moment. That proves nothing,
    not even for a channel that was empty: a message may have been stored and have expired in between.

    Args:
        head: offset of the last stored message accounted for, 0 if none.
        seen: offset up to which everything is accounted for, >= head.
        offset: of the message, > 0.
        previous: offset of the channel's message stored before it, 0 if none.
    """
    if offset <= seen:
        return Step.DUPLICATE
    if previous == 0 or previous < head:
        return Step.UNKNOWN
    if previous == head:
        return Step.NEXT
    return Step.GAP


class Comparison(Enum):
    """What the store's head says about a chain."""

    CONFIRMED = "confirmed"  # nothing is missing, as far as the store's answer goes
    BEHIND = "behind"  # the answer is older than what the chain has seen: it says nothing
    MISSED = "missed"  # the store holds a message whose live copy never came: read from `seen`
    VANISHED = "vanished"  # the last message is stored no more: only a read from `seen` can say more
    OTHER_EPOCH = "other_epoch"  # the chain belongs to a sequence that is gone


class Chain:
    """The chain of one channel; it begins closed, with live messages waiting for its first head.

    Args:
        waiting_max: messages that may wait; above, all but the newest are dropped and read again later.
        waiting_bytes_max: their payload, bytes; the same.

    Attributes:
        epoch: of the store's sequence; "" until `open`.
        head: see the module.
        seen: see the module.
        missing: an offset known to be stored and not yet accounted for; 0 or <= `seen` if there is none.
        waiting: live messages in their order while a read is under way, else None.
    """

    __slots__ = (
        "_waiting_bytes",
        "_waiting_bytes_max",
        "_waiting_max",
        "epoch",
        "head",
        "missing",
        "seen",
        "waiting",
    )

    def __init__(self, waiting_max: int = 1000, waiting_bytes_max: int = 1_048_576) -> None:
        self.epoch = ""
        self.head = 0
        self.seen = 0
        self.missing = 0
        self.waiting: list[Live] | None = []
        self._waiting_bytes = 0
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max

    @property
    def top(self) -> int:
        """The channel's position: its last message, or for an empty channel how far that is proven."""
        return self.head or self.seen

    def live(self, message: Live) -> Step:
        """Take a live copy; after GAP and UNKNOWN it waits, and so do all that follow."""
        if self.waiting is not None:
            self._wait(message)
            return Step.WAIT
        offset = message.offset
        step = step_of(self.head, self.seen, offset, message.previous)
        if step is Step.NEXT:
            self.head = self.seen = offset
        elif step is not Step.DUPLICATE:
            self.missing = max(self.missing, offset)
            self.hold()
            self._wait(message)
        return step

    def hold(self) -> None:
        """Let live messages wait until `resume`."""
        if self.waiting is None:
            self.waiting = []
            self._waiting_bytes = 0

    def compare(self, head: Head) -> Comparison:
        """Hold the store's head against an open chain; a read that proves more moves `seen`."""
        if head.epoch != self.epoch:
            return Comparison.OTHER_EPOCH
        if head.offset > self.seen:
            self.missing = max(self.missing, head.offset)
            return Comparison.MISSED
        if head.up_to < self.seen:
            return Comparison.BEHIND
        if head.offset != self.head:
            return Comparison.VANISHED
        if head.offset:
            self.seen = head.up_to
        elif head.up_to > self.seen:
            # Still empty, or empty again: heads alone cannot tell the two apart.
            return Comparison.VANISHED
        return Comparison.CONFIRMED

    def open(self, head: Head) -> None:
        """Begin at the store's head; messages that came meanwhile still wait for `resume`."""
        self.epoch = head.epoch
        self.move(head.offset, max(head.up_to, head.offset))

    def move(self, head: int, seen: int) -> None:
        """Account for everything up to `seen`, of which `head` is the last message; never backwards."""
        if seen >= self.seen:
            self.head = head
            self.seen = seen

    def resume(self) -> list[Live]:
        """Let waiting messages go on; returns those to deliver, in order.

        The chain follows live again when `waiting` is None afterwards. Otherwise there is another gap,
        or `missing` was not reached: the next read starts at the new `seen`.
        """
        waiting = self.waiting or []
        self.waiting = None
        deliver = [message for message in waiting if self.live(message) is Step.NEXT]
        if self.missing > self.seen:
            self.hold()
        return deliver

    def _wait(self, message: Live) -> None:
        waiting = self.waiting
        if waiting is None:
            return
        waiting.append(message)
        self._waiting_bytes += len(message.message.data)
        if len(waiting) > self._waiting_max or self._waiting_bytes > self._waiting_bytes_max:
            # The newest one shows what was dropped: its predecessor is missing, so a read follows.
            del waiting[:-1]
            self._waiting_bytes = len(message.message.data)
