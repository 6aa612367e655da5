"""Frames find their sessions, on this node or another, and nobody else's."""

import random

import pytest
import trio

from node.broker.interface import BrokerUnavailable, MessageTooLarge
from node.broker.memory import MemoryBroker, MemoryStore
from node.broker.namespaces import Namespaces
from node.emulation import Emulation, Outcome

NODES = tuple(f"00000000-0000-0000-0000-00000000000{number}" for number in range(3))


class Inbox:
    """A session."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.full = False

    def receive(self, frame: bytes) -> bool:
        if not self.full:
            self.frames.append(frame)
        return not self.full


@pytest.fixture
async def nodes() -> list[Emulation]:
    """Two nodes that hear each other, and a third that has not begun to listen."""
    store = MemoryStore(Namespaces({}), random.Random(1))
    nodes = [Emulation(MemoryBroker(store), name) for name in NODES]
    for node in nodes[:2]:
        await node.listen()
    return nodes


async def test_a_frame_is_carried_to_its_session(nodes: list[Emulation]) -> None:
    """Whichever node gets it, the session has it, in order and byte for byte."""
    inbox = Inbox()
    session = nodes[0].open(inbox.receive)
    frames = [bytes(range(256)), b"", b"{}", b"0" * 32]
    for number, frame in enumerate(frames):
        assert await nodes[number % 2].deliver(NODES[0], session, frame) is Outcome.DELIVERED
    assert inbox.frames == frames


async def test_every_session_has_an_id_of_its_own(nodes: list[Emulation]) -> None:
    """128 bits that say nothing."""
    ids = {nodes[0].open(Inbox().receive) for _ in range(100)}
    assert len(ids) == len(nodes[0]) == 100
    assert all(len(bytes.fromhex(session)) == 16 for session in ids)


@pytest.mark.parametrize("at", [0, 1])
async def test_nobody_is_found_who_is_not_there(nodes: list[Emulation], at: int) -> None:
    """An unknown session, one that ended, one of another node, an unknown or silent node."""
    inbox = Inbox()
    session = nodes[0].open(inbox.receive)
    for node, name in (
        (NODES[0], "0" * 32),
        (NODES[0], session[:31]),
        (NODES[0], session + "0"),
        (NODES[0], "A" * 32),
        (NODES[1], session),
        (NODES[2], session),
        ("", session),
        ("info", session),
        ("*", session),
        (f"{NODES[0]}\r\n", session),
    ):
        assert await nodes[at].deliver(node, name, b"{}") is Outcome.UNKNOWN
    nodes[0].close(session)
    nodes[0].close(session)
    assert await nodes[at].deliver(NODES[0], session, b"{}") is Outcome.UNKNOWN
    assert inbox.frames == []


@pytest.mark.parametrize("at", [0, 1])
async def test_a_session_without_room_says_so(nodes: list[Emulation], at: int) -> None:
    """The sender learns that nothing of it is served."""
    inbox = Inbox()
    inbox.full = True
    session = nodes[0].open(inbox.receive)
    assert await nodes[at].deliver(NODES[0], session, b"{}") is Outcome.BUSY


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (BrokerUnavailable("away"), Outcome.UNREACHABLE),
        (MessageTooLarge("long"), Outcome.TOO_LARGE),
        (None, Outcome.UNREACHABLE),
    ],
)
async def test_a_broker_that_fails_is_no_missing_session(
    nodes: list[Emulation],
    failure: Exception | None,
    outcome: Outcome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only an answer says that a session does not exist; an answer of another make says nothing."""

    async def ask(topic: str, data: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if failure is not None:
            raise failure
        return b"nonsense"

    monkeypatch.setattr(nodes[1]._broker, "ask", ask)
    assert await nodes[1].deliver(NODES[0], "0" * 32, b"{}") is outcome


async def test_questions_that_are_none_harm_nobody(nodes: list[Emulation]) -> None:
    """Whoever may publish to the broker may send anything."""
    for question in (b"", b"\xff" * 10, b"x" * 100):
        assert await nodes[1]._broker.ask(f"emulation-{NODES[0]}", question) == b"404"
