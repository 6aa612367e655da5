"""What the door counts, and where: whoever opens one brings its own metrics."""

from collections.abc import Callable
from typing import Protocol


class Counts(Protocol):
    """Numbers to be incremented in place.

    Attributes:
        refused: requests and connections that were not served, by cause.
        malformed: what was sent and is no request, by kind.
        failures: requests that failed by a fault of this program.
    """

    refused: dict[str, int]
    malformed: dict[str, int]
    failures: int

    def observe(
        self, name: str, read: Callable[[], float], help_text: str = "", *, counter: bool = False
    ) -> None:
        """Have a number read at every scrape; see Metrics."""
