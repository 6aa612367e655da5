"""A subscriber over WebSocket that comes back: it hands on what happens and reconnects from its position."""

import os
import random
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from deploy.errors import UserError
from deploy.subscription import PONG, Connected, Ended, Event, Ping, Subscribed, Subscription, closed
from node.protocol.messages import Publication

PATH = "/connection/websocket"
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
_CONNECT_DEADLINE_S = 5
_PING_LATE_MAX_S = 10
_DELAY_FIRST_S = 0.5
_DELAY_MAX_S = 20.0
_SERVER_ERRORS_FROM = 500
_LOST = 1006  # RFC 6455 section 7.4.1: the connection was closed abnormally


_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Enough(Exception):
    """Raised by `show` when it wants no more; ends `follow`."""


async def follow(
    url: str,
    subscription: Subscription,
    show: Callable[[Publication], None],
    tell: Callable[[str], None],
    uniform: Callable[[float, float], float] = random.uniform,
) -> None:
    """Receive until cancelled, `show` raises Enough, or the server refuses for good.

    Args:
        url: of the endpoint, from `endpoint`.
        subscription: its position moves on with every publication.
        show: called with each publication, in order.
        tell: called with what else there is to know, a line each.
        uniform: draws the reconnect delay.

    Raises:
        UserError: the first connection fails, or the server's answer is final.
    """
    follower = _Follower(url, subscription, show, tell)
    while (ended := await follower.connect()) is not None:
        if not (ended.again and follower.reached):
            raise UserError(f"{url}: {_in_words(ended)}")
        # Full jitter: many clients that lost the same node come back spread over the whole interval.
        delay_s = uniform(0, min(_DELAY_MAX_S, _DELAY_FIRST_S * 2**follower.attempt))
        follower.attempt += 1
        why = _in_words(ended)
        tell(f"{why}{'' if why.endswith('?') else ';'} again in {delay_s:.1f} s")
        await trio.sleep(delay_s)


def endpoint(url: str) -> str:
    """The WebSocket endpoint of a node's address; http and ws mean the same, a path is kept.

    Raises:
        UserError: it is not an address.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise UserError(f"{url} is not the address of a node; it looks like ws://127.0.0.1:8000")
    path = parts.path if parts.path not in ("", "/") else PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


class _Follower:
    """One subscription over one connection after the other.

    Attributes:
        reached: a node was there at least once.
        attempt: connections in a row that did not come to a subscription.
    """

    def __init__(
        self,
        url: str,
        subscription: Subscription,
        show: Callable[[Publication], None],
        tell: Callable[[str], None],
    ) -> None:
        self.reached = False
        self.attempt = 0
        self._url = url
        self._subscription = subscription
        self._show = show
        self._tell = tell

    async def connect(self) -> Ended | None:
        """From connect to the end of the connection or of the subscription; None when `show` had enough."""
        try:
            with trio.fail_after(_CONNECT_DEADLINE_S):
                stream = await _open_stream(self._url)
        except OSError as error:
            return _lost(f"cannot be reached: {_reason(error)}; is the cluster up?")
        except trio.BrokenResourceError as error:
            return _lost(f"TLS failed: {_reason(error)}")
        except trio.TooSlowError:
            return _lost("does not answer; is the cluster up?")
        try:
            # The stream is ours: trio-websocket leaves it open when the other side closes first.
            async with stream, trio.open_nursery() as nursery:
                try:
                    return await self._session(nursery, stream)
                finally:
                    nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            # A refused handshake is raised by trio-websocket's reader, a task in our nursery.
            refused, other = group.split(HandshakeError)
            if refused is None or other is not None:
                raise
            return _refused(_innermost(refused))

    async def _session(self, nursery: trio.Nursery, stream: _Stream) -> Ended | None:
        try:
            with trio.fail_after(_CONNECT_DEADLINE_S):
                connection = await _handshake(nursery, stream, self._url)
            self.reached = True
            await connection.send_message(self._subscription.first_frame())
            return await self._receive(connection)
        except Enough:
            return None
        except trio.TooSlowError:
            return _lost("does not answer; is the cluster up?")
        except ConnectionClosed as error:
            why = error.reason
            return closed(why.code, why.reason or "") if why else _lost("connection lost")
        except ValueError as error:
            return Ended(0, f"does not speak the protocol: {error}", again=False)

    async def _receive(self, connection: WebSocketConnection) -> Ended:
        silence_max_s = float(_CONNECT_DEADLINE_S)
        while True:
            events: list[Event] = []
            with trio.move_on_after(silence_max_s) as waiting:
                events = self._subscription.receive(await connection.get_message())
            if waiting.cancelled_caught:
                return _lost(f"nothing heard for {silence_max_s:.0f} s")
            for event in events:
                match event:
                    case Publication():
                        self._show(event)
                    case Ping():
                        await connection.send_message(PONG)
                    case Subscribed():
                        self._tell(_describe(event, self._url))
                        self.attempt = 0
                    case Connected(ping_s=ping_s):
                        silence_max_s = ping_s + _PING_LATE_MAX_S if ping_s else float("inf")
                    case Ended():
                        return event


async def _open_stream(url: str) -> _Stream:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "wss":
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443)
    return await trio.open_tcp_stream(host, parts.port or 80)


async def _handshake(nursery: trio.Nursery, stream: _Stream, url: str) -> WebSocketConnection:
    parts = urlsplit(url)
    resource = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return await wrap_client_stream(
        nursery, stream, parts.netloc, resource, max_message_size=_MESSAGE_BYTES_MAX
    )


def _describe(event: Subscribed, url: str) -> str:
    if not event.recovering:
        return f"subscribed at {url}"
    if event.recovered:
        return f"subscribed at {url}: recovered, {event.missed} missed"
    return f"subscribed at {url}: NOT recovered, publications may be missing"


def _in_words(ended: Ended) -> str:
    return ended.reason if ended.code == _LOST else f"{ended.reason} (code {ended.code})"


def _lost(reason: str) -> Ended:
    return Ended(_LOST, reason, again=True)


def _refused(error: BaseException) -> Ended:
    if isinstance(error, ConnectionRejected):
        return Ended(error.status_code, "answered HTTP", again=error.status_code >= _SERVER_ERRORS_FROM)
    return _lost("does not answer as a node; is it one?")


def _reason(error: Exception) -> str:
    """The kernel's words; trio hides them behind a list of the addresses it tried."""
    cause = _innermost(error.__cause__ or error)
    number = cause.errno if isinstance(cause, OSError) else None
    # Numbers of name resolution are no errno, and negative on Linux.
    return os.strerror(number) if number and number > 0 else str(cause)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
