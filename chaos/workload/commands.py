"""What a client and a node say to each other in both directions: the interface of its encodings. Sans-I/O."""

from collections.abc import Iterable
from typing import Protocol

from chaos.history import Position

CONNECT_ID = 1


class Commands(Protocol):
    """One session in one encoding, whatever carries it.

    Attributes:
        pong: the answer to a ping.
        end: what may be missing behind the last reply of a frame.
        session: what requests beside the connection name it by, "" before the node said.
        node: who holds it, likewise.
    """

    pong: bytes
    end: bytes
    session: str
    node: str

    def connect(self) -> bytes:
        """The first command."""

    def subscribe(self, channel: str, since: Position | None) -> bytes:
        """A command for a channel."""

    def together(self, commands: Iterable[bytes]) -> bytes:
        """Several commands as one frame."""

    def replies(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Cut what was read into replies; returns also the part of one that has not come yet."""

    def take(self, reply: bytes) -> bool:
        """Tell the listener what a reply means; returns whether it is a ping.

        Raises:
            Over: the node refused the session or ended it.
            msgspec.MsgspecError, google.protobuf.message.DecodeError: it is no reply.
        """
