"""One client's connection over QUIC: aioquic's state machines, driven; each request served in a task.

Datagrams are handed in as they come; what is to be sent goes out from the connection's own task, which is
also its clock. A client that does not read, or breaks the protocol, stops nobody but itself.
"""

from collections.abc import Awaitable, Callable

import structlog
import trio
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    ProtocolNegotiated,
    QuicEvent,
    StopSendingReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicErrorCode

from node.config.options import HttpServerOptions
from node.door.asgi_request import Receive, Scope, Send
from node.door.connection import address_text
from node.door.counts import Counts
from node.door.http3_request import Fields, MalformedRequest, Request, check_size
from node.door.http3_session import Http3, Quic

log = structlog.get_logger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]
# An address as the socket has it.
Address = tuple[str, int]
# Sends one datagram.
SendDatagram = Callable[[bytes, Address], Awaitable[None]]
# Told of connection ids: (id, whether it is in use from now on).
NoteId = Callable[[bytes, bool], None]

# How long a request may go on after its client has gone.
_GRACE_S = 5.0
# A connection that is parted from ends so soon after its last response.
_PARTING_S = 1.0
_IN_ORDER = frozenset((QuicErrorCode.NO_ERROR, ErrorCode.H3_NO_ERROR))
# What aioquic calls it that nothing was heard of the client for too long.
_SILENT = "Idle timeout"


class Http3Connection:
    """See the module. To be run by `run`; whatever else is called never blocks.

    Args:
        quic: new, of a server.
        address: whom the first datagram came from.
        app: answers the requests.
        options: `http_server`.
        silent_max_s: how long a client may read nothing of what it is sent.
        metrics: failures and what is malformed are counted there.
        send: to where the datagrams go.
        note_id: told by which ids datagrams for this connection are known.

    Attributes:
        established: the handshake is complete.
        moved: see Way.
        peer: the client's address and port, for logs.
    """

    def __init__(
        self,
        quic: Quic,
        address: Address,
        app: App,
        options: HttpServerOptions,
        silent_max_s: float,
        metrics: Counts,
        send: SendDatagram,
        note_id: NoteId,
    ) -> None:
        self._quic = quic
        self._address = address
        self._app = app
        self._options = options
        self._silent_max_s = silent_max_s
        self._metrics = metrics
        self._send = send
        self._note_id = note_id
        self._http: Http3 | None = None
        self._requests: dict[int, Request] = {}
        self._started: list[Request] = []
        self._woken = trio.Event()
        self._over = False
        # Without a request until then: the connection ends.
        self._expires_at = trio.current_time() + options.head_deadline_s
        self._parting = self._closing = False
        self.established = False
        self.moved = trio.lowlevel.ParkingLot()
        self.peer = address_text(*address[:2])

    def take(self, data: bytes, address: Address) -> None:
        """Take a datagram that has come for this connection.

        Args:
            data: all of it.
            address: whom it came from; a client's may change.
        """
        try:
            self._quic.receive_datagram(data, address, trio.current_time())
            self._handle_events()
        except Exception:
            # The one place for this: whatever a client found to trouble the library, it is its own trouble.
            self._metrics.failures += 1
            log.exception("reading a datagram failed", peer=self.peer, rate_limited="quic")
            self._quic.close(ErrorCode.H3_INTERNAL_ERROR)
        self._wake()

    def leave(self, *, leaving: bool) -> None:
        """End with the last response that is being given, and let further requests go elsewhere.

        Args:
            leaving: False takes it back, for clients that have not gone yet.
        """
        if leaving and not self._parting and self._http is not None:
            self._http.go_away()
        self._parting = leaving
        self._set_expiry()
        self._wake()

    def stop(self) -> None:
        """End now if nothing is being served, and with the last response otherwise."""
        self.leave(leaving=True)
        self._closing = True
        self._set_expiry()
        self._wake()

    async def run(self) -> None:
        """Serve until the connection is over; cancellation ends it with a goodbye that nobody waits for."""
        try:
            async with trio.open_nursery() as nursery:
                while not self._over:
                    self._start_requests(nursery)
                    await self._transmit()
                    await self._wait()
                self._lose_all()
                nursery.cancel_scope.deadline = trio.current_time() + _GRACE_S
        finally:
            self._quic.close(ErrorCode.H3_NO_ERROR)
            with trio.CancelScope() as goodbye:
                goodbye.cancel()
                await self._transmit()

    def _start_requests(self, nursery: trio.Nursery) -> None:
        started, self._started = self._started, []
        for request in started:
            nursery.start_soon(self._serve, request)

    async def _transmit(self) -> None:
        if self._quic.get_peer_address() is None:
            # Not one packet that could be read.
            return
        for data, address in self._quic.datagrams_to_send(trio.current_time()):
            await self._send(data, address)

    async def _wait(self) -> None:
        """Until there is something to do; does what it is time for."""
        timer = self._quic.get_timer()
        due_at = trio.current_time() if timer is None else timer
        if not self._requests:
            due_at = min(due_at, self._expires_at)
        with trio.CancelScope(deadline=due_at):
            await self._woken.wait()
        self._woken = trio.Event()
        now = trio.current_time()
        if not self._requests and now >= self._expires_at:
            # Nothing is waited for afterwards: aioquic would not say it a second time either.
            self._quic.close(ErrorCode.H3_NO_ERROR)
            self._over = True
        elif timer is not None and now >= timer:
            self._quic.handle_timer(now)
            self._handle_events()
            self.moved.unpark_all()

    def _wake(self) -> None:
        self._woken.set()
        self.moved.unpark_all()

    def _set_expiry(self) -> None:
        if self._closing:
            patience_s = 0.0
        elif not self.established:
            patience_s = self._options.head_deadline_s
        else:
            patience_s = _PARTING_S if self._parting else self._options.keep_alive_s
        self._expires_at = trio.current_time() + patience_s

    def _handle_events(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._handle(event)
            if self._http is not None:
                for http_event in self._http.handle_event(event):
                    self._handle_http(http_event)

    def _handle(self, event: QuicEvent) -> None:
        match event:
            case ConnectionTerminated():
                self._over = True
                self._note_end(event)
            case ProtocolNegotiated():
                self._http = Http3(self._quic, self._options.head_bytes_max)
                if self._parting:
                    self._http.go_away()
            case HandshakeCompleted():
                self.established = True
                self._set_expiry()
            case ConnectionIdIssued(connection_id=connection_id):
                self._note_id(connection_id, True)
            case ConnectionIdRetired(connection_id=connection_id):
                self._note_id(connection_id, False)
            case StopSendingReceived(stream_id=stream_id) | StreamReset(stream_id=stream_id):
                if request := self._requests.get(stream_id):
                    request.abort()

    def _note_end(self, event: ConnectionTerminated) -> None:
        code = hex(event.error_code)
        if event.error_code in _IN_ORDER or event.reason_phrase == _SILENT:
            log.debug("connection ended", peer=self.peer, code=code)
        elif self._quic.closed:
            self._metrics.malformed["http3"] += 1
            reason = event.reason_phrase
            log.info("connection failed", peer=self.peer, code=code, reason=reason, rate_limited="http3")
        else:
            # Its reason is its own text, and belongs in no log.
            self._metrics.refused["http3_client"] += 1
            log.info("the client gave up the connection", peer=self.peer, code=code, rate_limited=True)

    def _handle_http(self, event: H3Event) -> None:
        match event:
            case HeadersReceived(stream_id=stream_id) if stream_id not in self._requests:
                self._begin(stream_id, event.headers)
                self._put(stream_id, b"", last=event.stream_ended)
            case HeadersReceived(stream_id=stream_id):
                # Trailers say nothing here but that the body is over.
                self._put(stream_id, b"", last=event.stream_ended)
            case DataReceived(stream_id=stream_id, data=data):
                self._put(stream_id, data, last=event.stream_ended)

    def _begin(self, stream_id: int, fields: Fields) -> None:
        if self._closing:
            self._metrics.refused["not_accepting"] += 1
            log.info("request refused", peer=self.peer, reason="the node is stopping", rate_limited=503)
            self._session.cancel(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            return
        try:
            check_size(fields, self._options.head_bytes_max)
            request = Request(stream_id, fields, self._address[:2], self, self._silent_max_s)
        except MalformedRequest as error:
            self._metrics.malformed["head"] += 1
            log.info("request refused", peer=self.peer, reason=str(error), rate_limited="http3")
            self.cancel(stream_id)
            return
        self._requests[stream_id] = request
        self._started.append(request)

    def _put(self, stream_id: int, data: bytes, *, last: bool) -> None:
        if request := self._requests.get(stream_id):
            request.put(data, last=last)

    async def _serve(self, request: Request) -> None:
        try:
            await self._app(request.scope, request.receive, request.send)
        except Exception as error:
            # As in the door: a fault that concerns one request must not end the others.
            if request.gone:
                log.debug("the client went while it was served", peer=self.peer, reason=repr(error))
            else:
                self._metrics.failures += 1
                kind = type(error).__name__
                log.exception("serving a request failed", peer=self.peer, rate_limited=kind)
        finally:
            request.abort()
            self._end(request)

    def _end(self, request: Request) -> None:
        del self._requests[request.stream_id]
        if self._http is not None:
            self._http.ignore(request.stream_id)
        self._set_expiry()
        self._wake()

    def _lose_all(self) -> None:
        for request in self._requests.values():
            request.lose()

    def unacknowledged(self, stream_id: int) -> int:
        """See Way."""
        return self._quic.unacknowledged(stream_id)

    def delivered(self, stream_id: int) -> bool:
        """See Way."""
        return self._quic.delivered(stream_id)

    def send_fields(self, stream_id: int, fields: Fields) -> None:
        """See Way."""
        self._session.send_headers(stream_id, fields)
        self._woken.set()

    def send_data(self, stream_id: int, data: bytes, *, last: bool) -> None:
        """See Way."""
        self._session.send_data(stream_id, data, last)
        self._woken.set()

    def cancel(self, stream_id: int) -> None:
        """See Way."""
        self._session.cancel(stream_id)
        self._woken.set()

    def overload(self) -> None:
        """See Way."""
        self._session.fail("a request's body comes faster than it is read")
        self._woken.set()

    @property
    def _session(self) -> Http3:
        if self._http is None:
            raise AssertionError("there are no requests before the handshake")
        return self._http
