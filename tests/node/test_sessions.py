"""The register of sessions: limits, and who is in it."""

from node.sessions import Sessions


class Session:
    """Nothing is asked of it here."""


def opened(sessions: Sessions) -> Session:
    session = Session()
    sessions.add(session)  # type: ignore[arg-type]
    return session


def ended(sessions: Sessions, session: Session, user: str | None = None) -> None:
    sessions.remove(session, user)  # type: ignore[arg-type]


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


def test_everybody_is_found_until_gone() -> None:
    """The register is walked by whoever sends clients away."""
    sessions = Sessions()
    first, second = opened(sessions), opened(sessions)
    assert list(sessions) == [first, second]
    ended(sessions, first)
    assert (list(sessions), first in sessions, second in sessions) == ([second], False, True)
