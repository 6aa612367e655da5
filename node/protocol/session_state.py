"""Which command is legal when: a session's states, and the order in which a command's requests count.

Everything that decides it is in this file: the table, and `request_of`. It knows no clock and no
transport; deadlines are the session's, which then closes. The rules are those of Centrifugo's client
protocol: connect first and once, commands in order, a pong only after a ping.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from node.protocol.errors import LocalProtocolError, RemoteProtocolError
from node.protocol.messages import (
    Command,
    ConnectRequest,
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    RPCRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | RPCRequest
    | SendRequest
    | RefreshRequest
    | SubRefreshRequest
)


class Kind(StrEnum):
    """What a command is; the value is the name of its field in Command, except for a pong."""

    CONNECT = "connect"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PUBLISH = "publish"
    PRESENCE = "presence"
    PRESENCE_STATS = "presence_stats"
    HISTORY = "history"
    RPC = "rpc"
    SEND = "send"
    REFRESH = "refresh"
    SUB_REFRESH = "sub_refresh"
    PONG = "pong"


# Of several requests in one command the first in this order counts.
_DISPATCH_ORDER = tuple((kind.value, kind) for kind in Kind if kind is not Kind.PONG)


def request_of(command: Command) -> tuple[Kind, Request | None]:
    """What a command asks for; the request is None for a pong.

    Without an id no reply can be matched, so such a command is a message to the backend (`send`) if it has
    one, and a pong otherwise, whatever else it contains.

    Raises:
        RemoteProtocolError: an id and nothing that could be asked for: `ping`, an unknown request, none.
    """
    if command.id == 0:
        return (Kind.PONG, None) if command.send is None else (Kind.SEND, command.send)
    # `ping` stands second in the order, and is never served.
    if command.ping is None or command.connect is not None:
        for name, kind in _DISPATCH_ORDER:
            request = getattr(command, name)
            if request is not None:
                return kind, request
    raise RemoteProtocolError("a command with an id holds no request that exists")


class State(StrEnum):
    """Where a session stands; the value completes the sentence "the session ..."."""

    NEW = "has not been connected"
    CONNECTING = "is being connected"
    CONNECTED = "is connected and no ping is unanswered"
    PINGED = "is connected and a ping is unanswered"
    REFUSED = "was refused"
    CLOSED = "is closed"


class Event(StrEnum):
    """What happens to a session."""

    # The client's doing.
    CONNECT = "connect"
    COMMAND = "command"
    PONG = "pong"
    # Ours.
    ACCEPTED = "accepted"
    REFUSED = "refused"
    PING_SENT = "ping sent"
    CLOSED = "closed"


_TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.NEW, Event.CONNECT): State.CONNECTING,
        (State.NEW, Event.CLOSED): State.CLOSED,
        (State.CONNECTING, Event.ACCEPTED): State.CONNECTED,
        (State.CONNECTING, Event.REFUSED): State.REFUSED,
        (State.CONNECTING, Event.CLOSED): State.CLOSED,
        (State.CONNECTED, Event.COMMAND): State.CONNECTED,
        (State.CONNECTED, Event.PING_SENT): State.PINGED,
        (State.CONNECTED, Event.CLOSED): State.CLOSED,
        (State.PINGED, Event.COMMAND): State.PINGED,
        (State.PINGED, Event.PONG): State.CONNECTED,
        (State.PINGED, Event.PING_SENT): State.PINGED,
        (State.PINGED, Event.CLOSED): State.CLOSED,
        # Nothing a client sends is legal any more, but the close has to be told.
        (State.REFUSED, Event.CLOSED): State.CLOSED,
        # Both ends may close; the second one changes nothing.
        (State.CLOSED, Event.CLOSED): State.CLOSED,
    }
)

_EVENT_OF = {Kind.CONNECT: Event.CONNECT, Kind.PONG: Event.PONG}


class SessionState:
    """The state of one session; one per client, so it holds nothing else."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = State.NEW

    @property
    def connected(self) -> bool:
        """Whether the connect command was accepted and the session not closed since."""
        return self._state is State.CONNECTED or self._state is State.PINGED

    @property
    def closed(self) -> bool:
        """Whether the session's end was decided; its connection may still be saying goodbye."""
        return self._state is State.CLOSED

    def receive(self, command: Command) -> tuple[Kind, Request | None]:
        """Take a command of the client; a connect is to be followed by `accepted`, `refused` or the end.

        Raises:
            RemoteProtocolError: the command is not legal now, or asks for nothing; the state is what it was.
        """
        kind, request = request_of(command)
        state = _TRANSITIONS.get((self._state, _EVENT_OF.get(kind, Event.COMMAND)))
        if state is None:
            raise RemoteProtocolError(f"{kind} is not allowed: the session {self._state.value}")
        self._state = state
        return kind, request

    def accepted(self) -> None:
        """The connect command was good."""
        self._happened(Event.ACCEPTED)

    def refused(self) -> None:
        """The connect command was answered with an error: the session cannot be used any more."""
        self._happened(Event.REFUSED)

    def ping_sent(self) -> None:
        """A pong is legal now; a second ping before it wants no second pong."""
        self._happened(Event.PING_SENT)

    def closed_by_us(self) -> None:
        """The session's end was decided, or its connection is gone."""
        self._happened(Event.CLOSED)

    def _happened(self, event: Event) -> None:
        state = _TRANSITIONS.get((self._state, event))
        if state is None:
            raise LocalProtocolError(f"{event.value!r} cannot happen: the session {self._state.value}")
        self._state = state
