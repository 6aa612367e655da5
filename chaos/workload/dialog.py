"""What a client and a transport say to each other: the interface of every transport module. Sans-I/O.

A dialog lives as long as one connection. It is handed the bytes that were read, tells its listener what
they mean, and returns the bytes to be sent.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from chaos.history import Position


class Over(Exception):
    """The connection is at its end, or must be ended.

    Args:
        code: the disconnect code of the node, 0 if it gave none.
        reason: in words.
        retry_s: how long the node asked to stay away, None if it did not.
    """

    def __init__(self, code: int, reason: str, retry_s: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_s = retry_s


class Listener(Protocol):
    """A client, as its dialog tells it what came."""

    def welcomed(self) -> None:
        """The node accepted the session."""

    def subscribed(self, channel: str, epoch: str, offset: int, recovered: bool | None) -> None:
        """A subscription stands; what it recovered follows as deliveries."""

    def unsubscribed(self, channel: str, code: int) -> None:
        """The node ended a subscription and keeps the connection."""

    def refused(self, channel: str, code: int, reason: str) -> None:
        """The node does not take a subscription, for now."""

    def delivered(self, channel: str, publication: str, offset: int) -> None:
        """A publication came, live or recovered."""


class Dialog(Protocol):
    """One connection of one client."""

    def opening(self) -> bytes:
        """What is sent first."""

    def receive(self, data: bytes) -> bytes:
        """Take what was read; returns what is to be sent.

        Raises:
            Over: the node ended the session, or said something it must not.
        """

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """Ask for a channel again on the open connection; None if only a new connection can."""


class Opening(msgspec.Struct, frozen=True):
    """What a new dialog is made from.

    Attributes:
        host: of the Host field.
        wanted: the channels, and where the client stands in those it has been in.
        last_event_id: what an EventSource would send, "" for nothing.
    """

    host: str
    wanted: Mapping[str, Position | None]
    last_event_id: str = ""


MakeDialog = Callable[[Opening, Listener], Dialog]


class Payload(msgspec.Struct):
    """The data of a publication of this workload.

    Attributes:
        id: the publication's.
        pad: makes it as long as was asked for.
    """

    id: str
    pad: str = ""


class Publication(msgspec.Struct):
    """A publication as the client protocol and the plain form write it."""

    data: Payload
    offset: int = 0


class SubscribeResult(msgspec.Struct):
    """A subscription as the client protocol writes it."""

    epoch: str = ""
    offset: int = 0
    recovered: bool = False
    was_recovering: bool = False
    publications: list[Publication] = msgspec.field(default_factory=list)


def tell(listener: Listener, channel: str, result: SubscribeResult, *, asked: bool) -> None:
    """Tell of a subscription, then of what it recovered."""
    listener.subscribed(channel, result.epoch, result.offset, result.recovered if asked else None)
    for publication in result.publications:
        listener.delivered(channel, publication.data.id, publication.offset)
