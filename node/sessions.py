"""Who is connected to this node: every session, how many of each user, and how many there may be."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Protocol

from node.protocol.reasons import DisconnectReason


class Registered(Protocol):
    """A session, as others find it in the register."""

    @property
    def closed(self) -> bool:
        """Whether it was told to go already."""

    @property
    def subscriptions(self) -> Collection[str]:
        """Its channels."""

    @property
    def opened_at(self) -> float:
        """When it came, on trio's clock."""

    def close(self, reason: DisconnectReason) -> None:
        """After everything queued, tell the client why, and end its connection; never blocks."""


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
        self._open: dict[Registered, None] = {}
        self._by_user: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._open)

    def __contains__(self, session: object) -> bool:
        return session in self._open

    @property
    def users(self) -> int:
        """How many different users have a connected session."""
        return len(self._by_user)

    @property
    def full(self) -> bool:
        """Whether a further session would be over the node's limit."""
        return 0 < self._connection_limit <= len(self._open)

    def add(self, session: Registered) -> None:
        """A client was accepted; it need not have authenticated yet."""
        self._open[session] = None

    def admit(self, user: str) -> bool:
        """Count a session that authenticated; False, and not counted, if its user has too many."""
        if user and 0 < self._user_connection_limit <= self._by_user[user]:
            return False
        self._by_user[user] += 1
        return True

    def remove(self, session: Registered, admitted_as: str | None) -> None:
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
