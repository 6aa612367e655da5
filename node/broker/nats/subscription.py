"""What a node subscribes to at NATS, as the feed keeps it. Does nothing by itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from node.broker.nats.protocol import Msg


class Subscription(ABC):
    """What one sid stands for; compared by identity.

    Who has many of them makes one object of a subscription and of what is to be known when it delivers.

    Args:
        subject: what is to be subscribed, wildcards allowed.

    Attributes:
        sid: the id the server puts on its messages; b"" while no feed has it.
    """

    __slots__ = ("sid", "subject")

    def __init__(self, subject: str) -> None:
        self.sid = b""
        self.subject = subject

    @abstractmethod
    def deliver(self, msg: Msg) -> None:
        """Take a message, in the reading task: returns at once and does not raise."""


class Handed(Subscription):
    """A subscription whose messages go to a function.

    Args:
        subject: as of every subscription.
        function: returns at once and does not raise.
    """

    __slots__ = ("_function",)

    def __init__(self, subject: str, function: Callable[[Msg], None]) -> None:
        super().__init__(subject)
        self._function = function

    def deliver(self, msg: Msg) -> None:
        """Hand it on."""
        self._function(msg)
