"""Who is connected to this node: every session by client id and by user, and how many there may be."""

from collections import Counter
from typing import Protocol

import trio

from node.protocol.reasons import DisconnectReason

# Closing a session costs some 20 us; after this many others get the loop.
_CLOSED_PER_TURN = 64


class Closable(Protocol):
    """What the register needs of a session."""

    def close(self, reason: DisconnectReason) -> None:
        """Tell the client why, and end its connection; never blocks."""


class Sessions:
    """The register of a node's sessions.

    Args:
        connection_limit: sessions on this node, 0 for no limit.
        user_connection_limit: sessions of one user on this node, 0 for no limit; anonymous users are not
            counted.
    """

    def __init__(self, connection_limit: int = 0, user_connection_limit: int = 0) -> None:
        self._connection_limit = connection_limit
        self._user_connection_limit = user_connection_limit
        self._open: dict[Closable, None] = {}
        self._by_user: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def users(self) -> int:
        """How many different users have a connected session."""
        return len(self._by_user)

    @property
    def full(self) -> bool:
        """Whether a further session would be over the node's limit."""
        return 0 < self._connection_limit <= len(self._open)

    def add(self, session: Closable) -> None:
        """A client was accepted; it need not have authenticated yet."""
        self._open[session] = None

    def admit(self, user: str) -> bool:
        """Count a session that authenticated; False, and not counted, if its user has too many."""
        if user and 0 < self._user_connection_limit <= self._by_user[user]:
            return False
        self._by_user[user] += 1
        return True

    def remove(self, session: Closable, admitted_as: str | None) -> None:
        """A session ended.

        Args:
            session: which.
            admitted_as: the user it was admitted as, None if it never was.
        """
        self._open.pop(session, None)
        if admitted_as is not None:
            self._by_user[admitted_as] -= 1
            if not self._by_user[admitted_as]:
                del self._by_user[admitted_as]

    async def close_all(self, reason: DisconnectReason) -> None:
        """Close every session, a few per turn of the loop; returns when all are told, not yet gone."""
        for count, session in enumerate(list(self._open), 1):
            session.close(reason)
            if count % _CLOSED_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
