"""How long one call of the broker goes on trying. Holds a deadline and a growing pause; nothing else."""

import trio

from node.broker.interface import BrokerUnavailable

# One try may take this long: an answer that is lost, because its sender died, costs this much.
ATTEMPT_S = 1.0
_QUESTION_FIRST_S = 0.25
_PAUSE_FIRST_S = 0.005
_PAUSE_MAX_S = 0.2


class Patience:
    """The tries of one call.

    Args:
        deadline_s: seconds from now until the call must end.

    Attributes:
        tries: pauses made so far.
    """

    __slots__ = ("_deadline", "_pause_s", "tries")

    def __init__(self, deadline_s: float) -> None:
        self._deadline = trio.current_time() + deadline_s
        self._pause_s = _PAUSE_FIRST_S
        self.tries = 0

    @property
    def attempt_s(self) -> float:
        """What the next try may take, seconds."""
        return max(0.0, min(ATTEMPT_S, self._deadline - trio.current_time()))

    @property
    def question_s(self) -> float:
        """What the next question to a leader may take, seconds: short at first, as there may be none."""
        return min(self.attempt_s, _QUESTION_FIRST_S * 2.0**self.tries)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - trio.current_time())

    async def pause(self, reason: str) -> None:
        """Wait a little longer than the last time.

        Args:
            reason: why the last try failed.

        Raises:
            BrokerUnavailable: the deadline would pass meanwhile; says the reason.
        """
        if self.left_s <= self._pause_s:
            raise BrokerUnavailable(f"given up at the deadline after {self.tries + 1} tries: {reason}")
        self.tries += 1
        await trio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)
