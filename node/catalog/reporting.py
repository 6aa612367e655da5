"""When a node reports: at its interval and when its state changed. Knows no catalog."""

import trio


class Pace:
    """The moments to report.

    Args:
        interval_s: between two reports, seconds.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._changed = trio.Event()

    def changed(self) -> None:
        """Make the next moment come at once."""
        self._changed.set()

    async def next(self, began_at: float) -> None:
        """Wait for the next moment.

        Args:
            began_at: when the last report was begun, by trio's clock.
        """
        with trio.move_on_at(began_at + self._interval_s):
            await self._changed.wait()
        self._changed = trio.Event()
