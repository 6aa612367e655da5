"""The register of sessions: limits, and the end of all."""

from node.protocol.reasons import SHUTDOWN, DisconnectReason
from node.sessions import Sessions


class Session:
    def __init__(self) -> None:
        self.closed_with: list[DisconnectReason] = []

    def close(self, reason: DisconnectReason) -> None:
        self.closed_with.append(reason)


def opened(sessions: Sessions) -> Session:
    session = Session()
    sessions.add(session)
    return session


def ended(sessions: Sessions, session: Session, user: str | None = None) -> None:
    sessions.remove(session, user)


def test_the_nodes_limit_counts_every_connection() -> None:
    """A full node refuses, and takes again when somebody left."""
    sessions = Sessions(connection_limit=2)
    first = opened(sessions)
    assert not sessions.full
    opened(sessions)
    assert sessions.full
    ended(sessions, first)
    assert not sessions.full


def test_a_users_limit_counts_that_user_only() -> None:
    """One user's many connections are nobody else's problem; anonymous ones are not one user."""
    sessions = Sessions(user_connection_limit=1)
    first = opened(sessions)
    assert sessions.admit("ann")
    assert not sessions.admit("ann")
    assert sessions.admit("bob")
    assert sessions.admit("")
    assert sessions.admit("")
    assert sessions.users == 3
    ended(sessions, first, "ann")
    assert sessions.admit("ann")


async def test_closing_all_tells_everybody() -> None:
    """Nobody is forgotten, and those who are gone are not counted."""
    sessions = Sessions()
    clients = [opened(sessions) for _ in range(200)]
    await sessions.close_all(SHUTDOWN)
    assert all(client.closed_with == [SHUTDOWN] for client in clients)
    assert len(sessions) == 200
    for client in clients:
        ended(sessions, client)
    assert len(sessions) == 0
