"""One client from accept to close: identity, subscriptions, pings, expiry and the one way it ends.

What each command does to it is in `commands`; which command is legal when is in `protocol.session_state`.
A session owns no task: the transport's reader has its commands served, the shared timers call `tick`, the
hub writes to its outbox.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from os import urandom
from typing import Protocol

import structlog
import trio

from node.access.channels import ChannelRules
from node.access.origins import OriginCheck
from node.api.publisher import Publisher
from node.config.options import Config
from node.emulation import Emulation
from node.history.channels import Channels
from node.hub import Framing, Hub, Subscription, Writable
from node.outbox import Writers
from node.protocol import reasons
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import NO_DATA, ClientInfo, Command, Error, Push, Reply, Unsubscribe
from node.protocol.reasons import DisconnectReason, ReplyError
from node.protocol.session_state import Kind, Request, SessionState
from node.sessions import Sessions
from node.telemetry.metrics import Metrics
from node.timers import Timers

log = structlog.get_logger(__name__)

# A client that has been told of a failure tries again later than that.
_AT_ONCE_S = 0.1


class Transport(Protocol):
    """The writing half of one client's connection. No method blocks or raises.

    A transport writes; reading stays in its own `serve` function, which turns bytes into commands and
    hands them to the session. Every byte for a client goes through its outbox, so order is the order of
    calls.

    Attributes:
        name: the metric's label: "websocket", "uni_sse", "ws", "sse", ...
        framing: how publications look; shared with every client of the same kind.
        outbox: the client's bounded queue.
        unidirectional: the client cannot send commands: no pong is expected, and the connect result
            travels as a push.
        native_ping: pings are the transport's own and are not announced in the connect result.
    """

    name: str
    framing: Framing
    unidirectional: bool
    native_ping: bool

    @property
    def outbox(self) -> Writable:
        """See Attributes."""

    def send(self, reply: Reply) -> None:
        """Queue one reply or push."""

    def ping(self) -> None:
        """Queue a ping in this transport's way."""

    def close(self, reason: DisconnectReason) -> None:
        """After everything queued, tell the client why in this transport's way, then end the connection."""

    def abort(self) -> None:
        """End the connection now; what waits is dropped."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What sessions, transports and the door share; built once, by `serve`.

    Attributes:
        refusal: why a client gets no session now, as a cause for the metric, "" if it does; asked once per
            client, who is refused with 503 and Retry-After.
    """

    config: Config
    rules: ChannelRules
    channels: Channels
    hub: Hub
    publisher: Publisher
    sessions: Sessions
    timers: Timers
    metrics: Metrics
    writers: Writers
    origins: OriginCheck
    emulation: Emulation
    refusal: Callable[[], str]
    version: str


class Session:
    """One client.

    Args:
        transport: the writing half of its connection.
        parts: what the node's sessions share.

    Attributes:
        arrived: its number among those who came to this node; see `Channels.join`.
        certified_user: who its certificate says that it is, "" if there is none; a token goes before it.
    """

    __slots__ = (
        "_admitted",
        "_answer_by",
        "_ended",
        "_expire_at",
        "_leave_at",
        "_ping_at",
        "_pong_due",
        "_state",
        "_unanswered_at",
        "arrived",
        "certified_user",
        "client",
        "conn_info",
        "due",
        "opened_at",
        "parts",
        "subscriptions",
        "transport",
        "user",
    )

    def __init__(self, transport: Transport, parts: Parts) -> None:
        self.transport = transport
        self.parts = parts
        self.client = _client_id()
        self.user = ""
        self.certified_user = ""
        self.conn_info = NO_DATA
        self.subscriptions: dict[str, Subscription] = {}
        self.due = 0
        self.opened_at = trio.current_time()
        self.arrived = parts.channels.arrive()
        self._state = SessionState()
        self._admitted = False
        self._ended = False
        # Moments on trio's clock, 0.0 for none.
        self._ping_at = 0.0
        self._pong_due = 0.0
        self._expire_at = 0.0
        self._leave_at = 0.0
        self._unanswered_at = -1.0
        self._answer_by = 0.0
        parts.sessions.add(self)
        parts.metrics.session_opened(transport.name)
        parts.timers.arm(self, self.opened_at + parts.config.client.stale_close_delay)

    @property
    def closed(self) -> bool:
        """Whether no further command is wanted; the connection may still be saying goodbye."""
        return self._state.closed

    @property
    def connected(self) -> bool:
        """Whether the connect command was accepted and the session not closed since."""
        return self._state.connected

    @property
    def client_info(self) -> ClientInfo:
        """Who this client is to others."""
        return ClientInfo(self.user, self.client, self.conn_info)

    def receive(self, command: Command) -> tuple[Kind, Request | None]:
        """Take a command if it is legal now; a pong is served by that.

        Raises:
            RemoteProtocolError: the client broke the protocol.
        """
        kind, request = self._state.receive(command)
        if kind is Kind.PONG:
            self._pong_due = 0.0
        return kind, request

    def answer_by(self) -> float:
        """Until when the command that is about to be served is to be answered, on trio's clock.

        What follows at once upon a command that waited in vain was sent with it, or while it waited, and
        has no more time than that one had: SDKs give up on a connection that leaves a command unanswered.
        """
        now = trio.current_time()
        if now > self._unanswered_at + _AT_ONCE_S:
            self._answer_by = now + self.parts.config.client.command_deadline_s
        return self._answer_by

    def unanswered(self) -> None:
        """The broker did not do in time what a command asks for; see `answer_by`."""
        self._unanswered_at = trio.current_time()

    def refuse(self, command_id: int, error: ReplyError, detail: str) -> None:
        """Answer a command with an error; a refused connect ends the session.

        Args:
            command_id: of the command.
            error: what the client is told.
            detail: what was wrong, for the log.
        """
        self.note_refused(error, detail)
        if self.closed:
            return
        if self.transport.unidirectional:
            # Its only command is connect, and it reads no replies.
            self.close(reasons.UNIDIRECTIONAL_CONNECT_ERRORS.get(error.code, reasons.SERVER_ERROR))
            return
        self.transport.send(Reply(command_id, error=Error(error.code, error.message, error.temporary)))
        if not self.connected:
            # The client is expected to close; it is closed for it if it does not.
            self._state.refused()
            self.parts.timers.arm(self, trio.current_time() + self.parts.config.client.close_deadline_s)

    def note_refused(self, error: ReplyError, detail: str) -> None:
        """Count and log an error; see `refuse`."""
        self.parts.metrics.command_errors[error.code] += 1
        log.info(
            "command refused",
            client=self.client,
            code=error.code,
            reason=detail or error.message,
            rate_limited=error.code,
        )

    def accept(self, user: str, conn_info: bytes, expire_in_s: float) -> None:
        """The connect command was good: the session lives.

        Args:
            user: who it is, "" if anonymous.
            conn_info: JSON shown to others, b"" for none.
            expire_in_s: seconds until its credentials expire, 0.0 for never.

        Raises:
            RemoteProtocolError: its user has too many connections.
        """
        if not self.parts.sessions.admit(user):
            raise RemoteProtocolError("the user has too many connections", reasons.CONNECTION_LIMIT)
        self._admitted = True
        self.user = user
        if conn_info:
            self.conn_info = type(NO_DATA)(conn_info)
        self._state.accepted()
        now = trio.current_time()
        interval = self.parts.config.client.ping_interval
        # Spread over half an interval, so that clients that came together are not pinged together.
        self._ping_at = now + interval * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load is no secret
        if age_max_s := self.parts.config.client.connection_age_max_s:
            self._leave_at = self.opened_at + age_max_s * random.uniform(0.8, 1.2)  # noqa: S311 - as above
        self.renew(expire_in_s)

    def renew(self, expire_in_s: float) -> None:
        """Live until new credentials expire, with the grace the config gives; 0.0 for ever."""
        grace = self.parts.config.client.expired_close_delay
        self._expire_at = trio.current_time() + expire_in_s + grace if expire_in_s else 0.0
        self._arm()

    def tick(self, now: float) -> None:
        """The armed moment has come: see Timers."""
        if self._state.closed:
            log.info(
                "client did not close",
                client=self.client,
                transport=self.transport.name,
                rate_limited=True,
            )
            self.transport.abort()
        elif not self.connected:
            self._cut_off(reasons.STALE)
        elif self._expire_at and now >= self._expire_at:
            self._cut_off(reasons.CONNECTION_EXPIRED)
        elif self._pong_due and now >= self._pong_due:
            self._cut_off(reasons.NO_PONG)
        elif self._leave_at and now >= self._leave_at:
            self.close(reasons.CONNECTION_AGED)
        else:
            if now >= self._ping_at:
                self._ping(now)
            self._arm()

    def _cut_off(self, reason: DisconnectReason) -> None:
        log.info(
            "client cut off",
            client=self.client,
            transport=self.transport.name,
            reason=reason.reason,
            rate_limited=reason.code,
        )
        self.close(reason)

    def _ping(self, now: float) -> None:
        client = self.parts.config.client
        self._ping_at = now + client.ping_interval
        if not self.transport.unidirectional:
            self._state.ping_sent()
            self._pong_due = now + client.pong_timeout
        self.transport.ping()

    def _arm(self) -> None:
        moments = (self._ping_at, self._pong_due, self._expire_at, self._leave_at)
        self.parts.timers.arm(self, min(moment for moment in moments if moment))

    def pong(self) -> None:
        """The transport's own pong came."""
        self._pong_due = 0.0

    def protocol_error(self, error: RemoteProtocolError) -> None:
        """The client broke the protocol: close it politely."""
        self.parts.metrics.protocol_errors += 1
        log.info(
            "protocol error",
            client=self.client,
            transport=self.transport.name,
            reason=error.detail,
            rate_limited=error.reason.code,
        )
        self.close(error.reason)

    def slow(self) -> None:
        """Too much waits for this client."""
        self.parts.metrics.slow_clients += 1
        log.info(
            "slow client",
            client=self.client,
            user=self.user,
            transport=self.transport.name,
            rate_limited=True,
        )
        self.close(reasons.SLOW)

    def payload_unencodable(self, channel: str) -> None:
        """See hub.Subscriber."""
        log.info("payload is not JSON", client=self.client, channel=channel, rate_limited=True)
        self.close(reasons.INAPPROPRIATE_PROTOCOL)

    def subscription_lost(self, subscription: Subscription) -> None:
        """See hub.Subscriber: the client is told to subscribe, or to come back, from its position."""
        if self.subscriptions.get(subscription.channel) is not subscription:
            return
        del self.subscriptions[subscription.channel]
        if self.transport.unidirectional:
            # It cannot subscribe again by itself.
            self.close(reasons.INSUFFICIENT_STATE)
            return
        lost = reasons.UNSUBSCRIBED_INSUFFICIENT_STATE
        push = Push(subscription.channel, unsubscribe=Unsubscribe(lost.code, lost.reason))
        self.transport.send(Reply(push=push))

    def close(self, reason: DisconnectReason) -> None:
        """Send what is queued, tell the client why, end the connection; again: nothing."""
        if self._state.closed:
            return
        self._state.closed_by_us()
        self.parts.metrics.closed(reason.code, reason.reason)
        log.debug("closing", client=self.client, code=reason.code, reason=reason.reason)
        self._leave_all()
        self.parts.timers.arm(self, trio.current_time() + self.parts.config.client.close_deadline_s)
        self.transport.close(reason)

    def end(self) -> None:
        """The connection is gone: nothing of the session stays behind; again: nothing."""
        if self._ended:
            return
        self._ended = True
        if not self._state.closed:
            self._state.closed_by_us()
            self.parts.metrics.closed(reasons.CONNECTION_CLOSED.code, reasons.CONNECTION_CLOSED.reason)
        self._leave_all()
        self.parts.timers.disarm(self)
        self.parts.sessions.remove(self, self.user if self._admitted else None)
        self.parts.metrics.session_ended(self.transport.name)

    def leave(self, channel: str) -> None:
        """Have nothing more of a channel; not being in it is no error."""
        subscription = self.subscriptions.pop(channel, None)
        if subscription is not None:
            self.parts.channels.leave(subscription)

    def _leave_all(self) -> None:
        for subscription in self.subscriptions.values():
            self.parts.channels.leave(subscription)
        self.subscriptions.clear()


def _client_id() -> str:
    """A random UUID (RFC 9562, version 4) as text, in less than half the time of the `uuid` module."""
    text = urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
