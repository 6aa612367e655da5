"""Bidirectional emulation: commands that come in requests of their own, to whichever node of the cluster.

A client whose connection carries only replies and pushes POSTs its commands, with the session and the node
that its connect result named. The node that gets the request carries the frame to the session's node, and
learns whether the session took it. Whoever knows a session's id speaks for its client: it is 128 bits of
chance, found by lookup, told to its client alone and never logged.

Frames of one session are served in the order they reach its node. Two requests on their way at the same
time may overtake each other: only a client that waits for an answer before it sends again has an order.
"""

import re
import secrets
from collections.abc import Callable
from enum import IntEnum

import structlog

from node.broker.interface import Broker, BrokerUnavailable, MessageTooLarge, NobodyAnswers

log = structlog.get_logger(__name__)

_SESSION_BYTES = 16
_SESSION = re.compile(r"[0-9a-f]{32}")
_NODE = re.compile(r"[-0-9a-f]{36}")
_SESSION_CHARS = 2 * _SESSION_BYTES


class Outcome(IntEnum):
    """What became of a frame; the value is the HTTP status that says so."""

    # The session has it, or is being closed and looks at nothing any more.
    DELIVERED = 204
    # There is no such session, or no such node.
    UNKNOWN = 404
    TOO_LARGE = 413
    # Too much waits for the session already; nothing of this frame is served.
    BUSY = 429
    # The session's node was not reached, or did not answer: the frame may have been delivered.
    UNREACHABLE = 503


class Emulation:
    """The sessions of this node that requests speak for, and the way to those of other nodes.

    Args:
        broker: carries frames between nodes.
        node: what this process is called there and in connect results: a UUID of its own.
    """

    def __init__(self, broker: Broker, node: str) -> None:
        self._broker = broker
        self.node = node
        self._sessions: dict[str, Callable[[bytes], bool]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, receive: Callable[[bytes], bool]) -> str:
        """Let requests speak for a session from now on; returns the id they need.

        Args:
            receive: takes a frame of commands, False if it has no room for it; never blocks or raises.
        """
        session = secrets.token_hex(_SESSION_BYTES)
        self._sessions[session] = receive
        return session

    def close(self, session: str) -> None:
        """The session has ended: requests for it find nobody; again: nothing."""
        self._sessions.pop(session, None)

    async def deliver(self, node: str, session: str, frame: bytes) -> Outcome:
        """Carry a frame to its session; cancelled, it may have been delivered.

        Args:
            node: who holds the session, as the request has it.
            session: its id, as the request has it.
            frame: commands in the session's encoding; not looked at.
        """
        if _SESSION.fullmatch(session) is None or _NODE.fullmatch(node) is None:
            return Outcome.UNKNOWN
        if node == self.node:
            return self._receive(session, frame)
        try:
            return Outcome(int(await self._broker.ask(_topic(node), session.encode() + frame)))
        except NobodyAnswers:
            return Outcome.UNKNOWN
        except MessageTooLarge:
            return Outcome.TOO_LARGE
        except BrokerUnavailable as error:
            log.info("commands not carried to their node", reason=str(error), rate_limited=True)
        except ValueError:
            log.warning("a node answered what this one does not understand", peer=node, rate_limited=True)
        return Outcome.UNREACHABLE

    async def listen(self) -> None:
        """Begin to hear what other nodes carry here."""
        await self._broker.answer(_topic(self.node), self._answer)

    def _answer(self, question: bytes) -> bytes:
        session = question[:_SESSION_CHARS].decode("latin-1")
        return b"%d" % self._receive(session, question[_SESSION_CHARS:])

    def _receive(self, session: str, frame: bytes) -> Outcome:
        receive = self._sessions.get(session)
        if receive is None:
            return Outcome.UNKNOWN
        return Outcome.DELIVERED if receive(frame) else Outcome.BUSY


def _topic(node: str) -> str:
    return f"emulation-{node}"
