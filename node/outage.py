"""Whether this node is cut off from its broker, as others are told. Pure: what is seen is an argument.

Short breaks are none of the others' business, and a connection that has only just come back may break again:
a node whose broker comes and goes is cut off all the time, once, and its clients are not moved back and
forth.
"""


class Outage:
    """The node's judgement of its connection to the broker.

    Args:
        lost_max_s: a broker that has been away for longer is lost, until it has been back for as long.

    Attributes:
        lasts: the node is cut off.
        number: of this time, or of the last one; 0 before the first.
    """

    def __init__(self, lost_max_s: float) -> None:
        self._lost_max_s = lost_max_s
        self._back_at: float | None = None
        self.lasts = False
        self.number = 0

    def observe(self, disconnected_for_s: float, now: float) -> None:
        """Take in how things are; to be called about every second.

        Args:
            disconnected_for_s: as the broker says, 0 while it is connected.
            now: monotonic seconds.
        """
        if disconnected_for_s > 0:
            self._back_at = None
            if disconnected_for_s > self._lost_max_s and not self.lasts:
                self.lasts = True
                self.number += 1
        elif self._back_at is None:
            self._back_at = now
        elif now - self._back_at >= self._lost_max_s:
            self.lasts = False
