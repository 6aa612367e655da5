"""What each command of a client does: `handle` finds the function that makes a request a reply.

A function may wait for the broker; `handle` sees that what came together is answered within
`client.command_deadline_s`. It raises CommandError (the reply carries the error), RemoteProtocolError (the
client is closed) or BrokerError; that one and a missed deadline are error 100, which SDKs retry.
"""

import time
from collections.abc import Awaitable, Callable
from sys import intern
from typing import Any

import trio
from msgspec.structs import replace

from node.access import permissions
from node.access.connect import authenticate, verify_refresh
from node.access.tokens import Credentials
from node.broker.interface import BrokerError
from node.hub import Subscription, Writable
from node.protocol import reasons
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import (
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    PublishRequest,
    PublishResult,
    Push,
    RefreshRequest,
    RefreshResult,
    Reply,
    SendRequest,
    StreamPosition,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
    UnsubscribeResult,
)
from node.protocol.session_state import Kind
from node.session import Session

# SubscribeRequest.flag: the client wants error 112 instead of `recovered: false`.
_REJECT_UNRECOVERED = 2


async def handle(session: Session, command: Command) -> None:
    """Serve one command; those of one client must be handed over one after another.

    Never raises for what a client or the broker did: it answers or closes. Cancellation leaves no half-made
    subscription behind.

    Args:
        session: whose command it is.
        command: decoded, of any kind.
    """
    if session.closed:
        return
    try:
        kind, request = session.receive(command)
        if kind is Kind.PONG:
            return
        serving = _SERVE[kind](session, command.id, request)
        if kind is Kind.CONNECT and not session.transport.unidirectional:
            # Waits for nothing, and a deadline would be a twentieth of what it costs that a client comes.
            reply = await serving
        else:
            reply = await _in_time(serving, session.answer_by())
    except CommandError as error:
        session.refuse(command.id, error.error, error.detail)
    except BrokerError as error:
        session.unanswered()
        session.refuse(command.id, reasons.INTERNAL, str(error))
    except trio.TooSlowError:
        session.unanswered()
        session.refuse(command.id, reasons.INTERNAL, "the command's deadline passed")
    except RemoteProtocolError as error:
        session.protocol_error(error)
    else:
        if reply is not None and not session.closed:
            session.transport.send(reply)


async def _in_time(serving: Awaitable[Reply | None], deadline: float) -> Reply | None:
    """What `serving` returns, or TooSlowError: `trio.fail_at`, without what that takes for a generator."""
    with trio.CancelScope(deadline=deadline):
        return await serving
    # Reached only after the deadline, at which the scope catches its own cancellation.
    raise trio.TooSlowError


async def connect(session: Session, command_id: int, request: ConnectRequest) -> Reply | None:
    """Authenticate, and on unidirectional transports subscribe to what the request names."""
    config = session.parts.config.client
    now = time.time()
    credentials = authenticate(request, config, now, session.certified_user)
    expire_in_s, ttl = _time_left(credentials, now)
    session.accept(credentials.user, credentials.info, expire_in_s)
    pings = not session.transport.native_ping
    result = ConnectResult(
        client=session.client,
        version=session.parts.version,
        expires=bool(ttl),
        ttl=ttl,
        ping=max(int(config.ping_interval), 1) if pings else 0,
        pong=pings and not session.transport.unidirectional,
    )
    if session.transport.unidirectional:
        await _connect_unidirectional(session, request, result)
        return None
    return Reply(command_id, connect=result)


async def _connect_unidirectional(session: Session, request: ConnectRequest, result: ConnectResult) -> None:
    """Join every channel asked for and permitted; their publications wait until the connect push is out."""
    held = _Held(session)
    subs: dict[str, SubscribeResult] = {}
    for channel, wanted in request.subs.items():
        if session.closed:
            return
        try:
            subs[channel] = await _join(session, channel, wanted, held)
        except CommandError as error:
            session.note_refused(error.error, error.detail)
    if not session.closed:
        session.transport.send(Reply(push=Push(connect=replace(result, subs=subs))))
        held.release()


async def subscribe(session: Session, command_id: int, request: SubscribeRequest) -> Reply:
    """Join a channel, from a position if one is given."""
    if not request.channel:
        raise RemoteProtocolError("subscribe without a channel")
    result = await _join(session, request.channel, request, session.transport.outbox)
    return Reply(command_id, subscribe=result)


async def _join(
    session: Session, channel: str, request: SubscribeRequest, outbox: Writable
) -> SubscribeResult:
    """Check, join, recover. Nothing of the session's happens between joining and returning."""
    parts = session.parts
    # Many clients are in one channel, and each of them has brought the name again.
    channel = intern(channel)
    resolved = parts.rules.resolve(channel)
    if channel in session.subscriptions:
        raise CommandError(reasons.ALREADY_SUBSCRIBED)
    if len(session.subscriptions) >= parts.config.client.channel_limit:
        raise CommandError(reasons.LIMIT_EXCEEDED, "client.channel_limit")
    if request.delta not in ("", "fossil"):
        raise RemoteProtocolError("an unknown delta type")
    if request.type != 0:
        raise CommandError(reasons.NOT_AVAILABLE, "subscription type")
    if request.tf is not None:
        # Ignored, it would hand the client what it asked not to get.
        raise CommandError(reasons.BAD_REQUEST, "filters by tags are not served")
    permissions.check_subscribe(session.user, resolved, request.token, parts.config)
    grants = permissions.grants(session.user, resolved, request, parts.config)
    wants_recovery = request.recover and grants.recoverable
    since = StreamPosition(request.offset, request.epoch) if wants_recovery else None
    framing = session.transport.framing
    subscription = Subscription(channel, session, framing, outbox, tracked=grants.positioned)
    joined = await parts.channels.join(subscription, since, session.arrived)
    session.subscriptions[channel] = subscription
    if wants_recovery and not joined.recovered and request.flag & _REJECT_UNRECOVERED:
        session.leave(channel)
        raise CommandError(reasons.UNRECOVERABLE_POSITION)
    if session.closed:
        session.leave(channel)
    position = joined.position if joined.position and grants.positioned else StreamPosition()
    return SubscribeResult(
        recoverable=grants.recoverable,
        positioned=grants.positioned,
        epoch=position.epoch,
        offset=position.offset,
        recovered=joined.recovered,
        was_recovering=wants_recovery,
        publications=joined.publications,
    )


async def unsubscribe(session: Session, command_id: int, request: UnsubscribeRequest) -> Reply:
    """Leave a channel; not being in it is no error."""
    if not request.channel:
        raise RemoteProtocolError("unsubscribe without a channel")
    session.leave(request.channel)
    return Reply(command_id, unsubscribe=UnsubscribeResult())


async def publish(session: Session, command_id: int, request: PublishRequest) -> Reply:
    """Publish with the client's identity."""
    if not request.channel:
        raise RemoteProtocolError("publish without a channel")
    parts = session.parts
    resolved = parts.rules.resolve(request.channel)
    subscribed = request.channel in session.subscriptions
    permissions.check_publish(session.user, resolved, parts.config, subscribed=subscribed)
    await parts.publisher.publish(request.channel, bytes(request.data), info=session.client_info)
    return Reply(command_id, publish=PublishResult())


async def history(session: Session, command_id: int, request: HistoryRequest) -> Reply:
    """Read a channel's history, at most `client.history_max_publication_limit` publications."""
    if not request.channel:
        raise RemoteProtocolError("history without a channel")
    parts = session.parts
    resolved = parts.rules.resolve(request.channel)
    resolved.require_history()
    subscribed = request.channel in session.subscriptions
    permissions.check_history(session.user, resolved, parts.config, subscribed=subscribed)
    limit_max = parts.config.client.history_max_publication_limit
    limit = limit_max if request.limit < 0 else min(request.limit, limit_max)
    result = await parts.channels.history(
        request.channel, limit=limit, since=request.since, reverse=request.reverse
    )
    return Reply(command_id, history=result)


async def refresh(session: Session, command_id: int, request: RefreshRequest) -> Reply:
    """Live on with a new connection token."""
    now = time.time()
    credentials = verify_refresh(request, session.user, session.parts.config.client, now)
    expire_in_s, ttl = _time_left(credentials, now)
    session.renew(expire_in_s)
    result = RefreshResult(session.client, session.parts.version, expires=bool(ttl), ttl=ttl)
    return Reply(command_id, refresh=result)


def _time_left(credentials: Credentials, now: float) -> tuple[float, int]:
    """Seconds until credentials expire, exactly and as clients are told; 0 stands for never in both."""
    if not credentials.expire_at:
        return 0.0, 0
    left_s = max(credentials.expire_at - now, 0.01)
    return left_s, max(int(left_s), 1)


async def sub_refresh(session: Session, command_id: int, request: SubRefreshRequest) -> Reply:  # noqa: ARG001 - one shape for all
    """No subscription expires here, so none can be refreshed."""
    if request.channel not in session.subscriptions:
        raise CommandError(reasons.PERMISSION_DENIED, "not subscribed")
    raise RemoteProtocolError("this subscription does not expire")


async def send(session: Session, command_id: int, request: SendRequest) -> Reply:  # noqa: ARG001 - one shape for all
    """Nobody handles messages without a reply, and no reply could say so."""
    raise RemoteProtocolError("nobody handles `send`", reasons.DISCONNECT_NOT_AVAILABLE)


async def not_available(session: Session, command_id: int, request: object) -> Reply:  # noqa: ARG001 - one shape for all
    """Presence and RPC are switched off."""
    raise CommandError(reasons.NOT_AVAILABLE)


class _Held:
    """Stands in for an outbox until the connect push is written, for the order's sake.

    Publications reach a subscription as soon as it is joined, and the connect push comes only when all
    channels are. What waits here is bounded as in an outbox.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._frames: list[bytes] = []
        self._bytes_left = session.parts.writers.bytes_max

    def write(self, data: bytes) -> None:
        """Keep for later; too much ends the client."""
        self._bytes_left -= len(data)
        if self._bytes_left >= 0:
            self._frames.append(data)
        else:
            self._frames.clear()
            self._session.slow()

    def release(self) -> None:
        """Write what was kept, and let the subscriptions write for themselves from now on."""
        outbox = self._session.transport.outbox
        for data in self._frames:
            outbox.write(data)
        for subscription in self._session.subscriptions.values():
            subscription.outbox = outbox


_SERVE: dict[Kind, Callable[[Session, int, Any], Awaitable[Reply | None]]] = {
    Kind.CONNECT: connect,
    Kind.SUBSCRIBE: subscribe,
    Kind.UNSUBSCRIBE: unsubscribe,
    Kind.PUBLISH: publish,
    Kind.PRESENCE: not_available,
    Kind.PRESENCE_STATS: not_available,
    Kind.HISTORY: history,
    Kind.RPC: not_available,
    Kind.SEND: send,
    Kind.REFRESH: refresh,
    Kind.SUB_REFRESH: sub_refresh,
}
