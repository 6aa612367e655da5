"""The last publications of an active channel in memory, so that most recoveries need no read.

Pure. A tail holds everything published in the channel after `base` up to what its chain has seen; it
cannot say anything about earlier positions, and it never guesses.
"""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from node.protocol.messages import Publication

# A publication's objects beside its payload, bytes; rounded up from what was measured.
_OVERHEAD_BYTES = 500
# How far beyond its limit a tail may grow for a moment.
_HELD_FACTOR = 4


class Kept(Struct, frozen=True, gc=False):
    """A publication in memory. A struct, since one is made for every live message.

    Attributes:
        offset: of the publication.
        time_ms: when it was stored, milliseconds since 1970.
        size: bytes it is counted with.
        publication: as clients get it.
    """

    offset: int
    time_ms: int
    size: int
    publication: Publication


def kept(publication: Publication, time_ms: int) -> Kept:
    """A publication, counted."""
    return Kept(publication.offset, time_ms, len(publication.data) + _OVERHEAD_BYTES, publication)


class Tail:
    """See the module.

    Args:
        size_max: publications at most.
        bytes_max: bytes at most, payload and overhead; the newest publications win.

    Attributes:
        base: the tail is complete for every position from here on.
        base_stored: whether a message stood at `base`: whoever is below it has missed one more.
        bytes: held now.
        held: somebody waits for a page that joins this tail: only far more bytes than allowed are dropped.
    """

    __slots__ = ("_bytes_max", "_entries", "_size_max", "base", "base_stored", "bytes", "held")

    def __init__(self, size_max: int, bytes_max: int) -> None:
        self._entries: deque[Kept] = deque()
        self._size_max = size_max
        self._bytes_max = bytes_max
        self.base = 0
        self.base_stored = False
        self.bytes = 0
        self.held = False

    def __len__(self) -> int:
        return len(self._entries)

    def restart(self, base: int, *, stored: bool) -> None:
        """Forget everything; complete from `base` on, where a message stood or not."""
        self._entries.clear()
        self.bytes = 0
        self.base = base
        self.base_stored = stored

    def append(self, publication: Publication, time_ms: int, data_bytes: int) -> None:
        """Add the channel's next publication.

        Args:
            publication: with an offset above every other one.
            time_ms: when it was stored, milliseconds since 1970.
            data_bytes: length of its payload.
        """
        size = data_bytes + _OVERHEAD_BYTES
        entries = self._entries
        entries.append(Kept(publication.offset, time_ms, size, publication))
        self.bytes += size
        if len(entries) > self._size_max or self.bytes > self._bytes_max:
            self.trim()

    def extend_back(self, base: int, reach: int, earlier: Iterable[Kept]) -> bool:
        """Put earlier publications before the tail's; returns whether they join it without a hole.

        Args:
            base: `earlier` is complete from this position on.
            reach: up to where it is complete.
            earlier: ascending by offset; those the tail has already are left out.
        """
        if reach < self.base:
            return False
        if base < self.base:
            old = [entry for entry in earlier if base < entry.offset <= self.base]
            self._entries.extendleft(reversed(old))
            self.bytes += sum(entry.size for entry in old)
            self.base = base
            self.base_stored = False
        return True

    def since(self, offset: int) -> list[Kept] | None:
        """Everything published after `offset`, in order; None if the tail cannot prove to have it all."""
        if offset < self.base:
            return None
        missed = []
        for entry in reversed(self._entries):
            if entry.offset <= offset:
                break
            missed.append(entry)
        missed.reverse()
        return missed

    def trim(self) -> None:
        """Drop the oldest until the limits are kept; see `held`."""
        entries = self._entries
        size_max, bytes_max = self._size_max, self._bytes_max
        if self.held:
            # As many as come while the store answers; a page and a tail fit in.
            size_max, bytes_max = len(entries), bytes_max * _HELD_FACTOR
        while entries and (len(entries) > size_max or self.bytes > bytes_max):
            oldest = entries.popleft()
            self.bytes -= oldest.size
            self.base = oldest.offset
            self.base_stored = True
