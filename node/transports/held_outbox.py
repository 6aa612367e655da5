"""An outbox that holds everything back until it is decided what comes before it."""

import socket
from collections import deque

from node.outbox import Outbox, OutboxOwner, Writers


class HeldOutbox(Outbox):
    """See the module and Outbox; publications that are held count towards the client's limit.

    A client's publications reach it as soon as it is subscribed to its first channel, and a refusal of the
    next one is still an HTTP status: so the response's head is decided last and goes out first.

    Args:
        sock: the client's, non-blocking.
        writers: the node's.
        owner: the transport.
    """

    __slots__ = ()

    def __init__(self, sock: socket.socket, writers: Writers, owner: OutboxOwner) -> None:
        super().__init__(sock, writers, owner)
        # As if a writer had the way to the client; none does.
        self._waiting = deque()
        self._limit = writers.bytes_max

    def answer(self, data: bytes) -> None:
        """Write what the client asked for, such as a recovery: how much that is says nothing of its speed."""
        self._limit += len(data)
        self.write(data)

    def release(self, head: bytes) -> None:
        """Send the head and what was held, and hold nothing from now on.

        Args:
            head: comes before everything else.
        """
        held = self._waiting
        if held is None:
            return
        self._waiting = None
        self.bytes_waiting = 0
        self.write(head + b"".join(held))
        if self._finishing and self._waiting is None:
            self._flushed()
