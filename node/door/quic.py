"""The UDP port beside the TCP port, for HTTP/3: whose datagram it is, and whether strangers may come in.

No datagram, whatever is in it, may end more than the connection it belongs to.
"""

import os
import socket
from collections.abc import Callable

import structlog
import trio
from aioquic._buffer import Buffer
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.exceptions import UnsupportedAlgorithm

from node.config.options import Config
from node.door.connection import address_text
from node.door.counts import Counts
from node.door.http3_connection import Address, App, Http3Connection
from node.door.http3_session import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, Quic
from node.door.listeners import DoorError, open_datagram_sockets

log = structlog.get_logger(__name__)

# Datagrams read before other tasks have their turn.
_DATAGRAMS_PER_TURN = 64
# What is longer is cut off, so not authentic, and lost: no path over the internet takes as much, and with
# 64 kB of small frames in each, a turn would take seconds.
_DATAGRAM_BYTES_MAX = 2048
_ID_BYTES = 8
# A packet with a long header (RFC 8999, section 5.1).
_LONG = 0x80
# With more handshakes than this under way, a client has to show first that it is where it says (RFC 9000,
# section 8.1.2); with the other number of them, nobody comes in.
_TRUSTED_HANDSHAKES = 100
_HANDSHAKES_MAX = 2000


class QuicPort:
    """One UDP port.

    Args:
        app: answers the requests.
        config: the node's.
        stream_bytes_max: the longest body of any request.
        metrics: what is refused is counted there.
    """

    def __init__(self, app: App, config: Config, stream_bytes_max: int, metrics: Counts) -> None:
        self._app = app
        self._options = config.http_server
        # Two pings of ours, of which one may be late: an idle timeout is for clients that have gone.
        self._silent_max_s = max(config.http_server.peer_silent_max_s, 2 * config.client.ping_interval)
        # In frames, the last of which may be one of many.
        self._stream_bytes_max = 2 * stream_bytes_max + STREAM_WINDOW_BYTES
        self._metrics = metrics
        self._configuration: QuicConfiguration | None = None
        self._retry = QuicRetryTokenHandler()
        self._by_id: dict[bytes, Http3Connection] = {}
        self._connections: dict[Http3Connection, set[bytes]] = {}
        self._handshakes: set[Http3Connection] = set()
        self._receiving = trio.CancelScope()
        self._leaving = self._stopping = False
        self._unsent = 0
        metrics.observe("quic_connections", lambda: len(self._connections), "QUIC connections open now.")
        metrics.observe(
            "quic_datagrams_unsent",
            lambda: self._unsent,
            "Datagrams that the machine did not take for sending.",
            counter=True,
        )

    def load(self) -> None:
        """Read certificate and key; who comes from then on sees these.

        Raises:
            DoorError: they cannot be used.
        """
        tls = self._options.tls
        configuration = QuicConfiguration(
            alpn_protocols=H3_ALPN,
            connection_id_length=_ID_BYTES,
            idle_timeout=self._silent_max_s,
            is_client=False,
            max_data=CONNECTION_WINDOW_BYTES,
            max_stream_data=STREAM_WINDOW_BYTES,
        )
        try:
            configuration.load_cert_chain(tls.cert_pem, tls.key_pem)
        except (OSError, ValueError, TypeError, IndexError, UnsupportedAlgorithm) as error:
            raise DoorError(
                f"http_server.tls.cert_pem and key_pem cannot be used over QUIC: {error}"
            ) from error
        self._configuration = configuration

    async def serve(
        self,
        addresses: list[tuple[str, int]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and serve until `stop`, and then until the last connection has ended.

        Args:
            addresses: where the TCP port is.
            task_status: told once the port is open.

        Raises:
            DoorError: the port cannot be opened.

        On cancellation every connection is closed at once.
        """
        sockets = open_datagram_sockets(addresses, reuse_port=self._options.reuse_port)
        try:
            log.info("listening for HTTP/3", addresses=[address_text(*address) for address in addresses])
            # Two nurseries: receiving ends when there is nobody left to receive for.
            async with trio.open_nursery() as serving:
                with self._receiving:
                    async with trio.open_nursery() as receiving:
                        for sock in sockets:
                            receiving.start_soon(self._receive, _Way(sock, self._note_lost), serving)
                        task_status.started()
        finally:
            for sock in sockets:
                sock.close()

    def leave(self, *, leaving: bool = True) -> None:
        """Serve on, and let clients make their next requests elsewhere; see Door.

        Args:
            leaving: False takes it back.
        """
        self._leaving = leaving
        for connection in self._connections:
            connection.leave(leaving=leaving)

    def stop(self) -> None:
        """Take no new connection, end idle ones, and each of the others with its last response."""
        self._stopping = True
        for connection in self._connections:
            connection.stop()
        self._end_if_empty()

    def _note_lost(self) -> None:
        self._unsent += 1

    def _end_if_empty(self) -> None:
        if self._stopping and not self._connections:
            self._receiving.cancel()

    async def _receive(self, way: "_Way", serving: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(way.sock)
            for _ in range(_DATAGRAMS_PER_TURN):
                try:
                    data, address = way.sock.recvfrom(_DATAGRAM_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError as error:
                    # What the network says of a datagram sent before.
                    log.debug("a datagram was lost", reason=error.strerror)
                    break
                connection = self._whose(data, address, way, serving)
                if connection is not None:
                    connection.take(data, address)
                    if connection.established:
                        self._handshakes.discard(connection)

    def _whose(
        self, data: bytes, address: Address, way: "_Way", serving: trio.Nursery
    ) -> Http3Connection | None:
        """Whom a datagram is for, somebody new included; None if it is for nobody."""
        if data and not data[0] & _LONG:
            return self._by_id.get(data[1 : 1 + _ID_BYTES])
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=_ID_BYTES)
        except ValueError:
            self._metrics.malformed["datagram"] += 1
            return None
        connection = self._by_id.get(header.destination_cid)
        # RFC 9000, section 14.1: what begins a connection fills a datagram, so that no answer is longer.
        if connection is not None or len(data) < SMALLEST_MAX_DATAGRAM_SIZE or self._stopping:
            return connection
        if header.version is not None and header.version not in self._usable.supported_versions:
            if header.packet_type != QuicPacketType.VERSION_NEGOTIATION:
                way.try_send(_other_versions(header, self._usable), address)
            return None
        if header.packet_type != QuicPacketType.INITIAL:
            return None
        return self._admit(header, address, way, serving)

    def _admit(
        self, header: QuicHeader, address: Address, way: "_Way", serving: trio.Nursery
    ) -> Http3Connection | None:
        """A new connection, if there may be one."""
        if len(self._connections) >= self._options.http3.connection_limit or (
            len(self._handshakes) >= _HANDSHAKES_MAX
        ):
            self._metrics.refused["quic_limit"] += 1
            log.warning("connection refused: too many over QUIC", rate_limited="quic_limit")
            return None
        original_id, retry_id = header.destination_cid, None
        if header.token or len(self._handshakes) >= _TRUSTED_HANDSHAKES:
            try:
                original_id, retry_id = self._shown(header, address), header.destination_cid
            except ValueError:
                self._metrics.refused["quic_retry"] += 1
                way.try_send(self._demand(header, address), address)
                return None
        quic = Quic(self._usable, self._stream_bytes_max, original_id, retry_id)
        ids = {header.destination_cid, quic.host_cid}

        def note_id(connection_id: bytes, used: bool) -> None:
            if used:
                ids.add(connection_id)
                self._by_id[connection_id] = connection
            else:
                ids.discard(connection_id)
                self._by_id.pop(connection_id, None)

        connection = Http3Connection(
            quic, address, self._app, self._options, self._silent_max_s, self._metrics, way.send, note_id
        )
        self._connections[connection] = ids
        self._by_id.update(dict.fromkeys(ids, connection))
        self._handshakes.add(connection)
        if self._leaving:
            connection.leave(leaving=True)
        serving.start_soon(self._serve_connection, connection)
        return connection

    def _shown(self, header: QuicHeader, address: Address) -> bytes:
        """The original id of a client that was told to come again.

        Raises:
            ValueError: it was not, or not there, or too long ago.
        """
        return self._retry.validate_token(
            address=address[:2],
            destination_cid=header.destination_cid,
            token=header.token,
            now=trio.current_time(),
        )

    def _demand(self, header: QuicHeader, address: Address) -> bytes:
        """Tell a client to come again, with what only it can read (RFC 9000, section 8.1.2)."""
        retry_id = os.urandom(_ID_BYTES)
        token = self._retry.create_token(
            address=address[:2],
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=retry_id,
            now=trio.current_time(),
        )
        return encode_quic_retry(
            version=header.version or 0,
            source_cid=retry_id,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    async def _serve_connection(self, connection: Http3Connection) -> None:
        try:
            await connection.run()
        except Exception as error:
            # As in the door: trio would end the whole node for a fault that concerns one client.
            self._metrics.failures += 1
            kind = type(error).__name__
            log.exception("serving a connection failed", peer=connection.peer, rate_limited=kind)
        finally:
            for connection_id in self._connections.pop(connection):
                self._by_id.pop(connection_id, None)
            self._handshakes.discard(connection)
            self._end_if_empty()

    @property
    def _usable(self) -> QuicConfiguration:
        if self._configuration is None:
            raise AssertionError("load comes first")
        return self._configuration


class _Way:
    """Sends datagrams from one of the addresses.

    Args:
        sock: bound and non-blocking.
        lost: called for each datagram that the machine refuses; QUIC sends its content again.
    """

    def __init__(self, sock: socket.socket, lost: Callable[[], None]) -> None:
        self.sock = sock
        self._lost = lost
        self._turn = trio.Lock()

    def try_send(self, data: bytes, address: Address) -> bool:
        """Send if that can be done at once; returns whether there is no more to be done."""
        try:
            self.sock.sendto(data, address)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost()
            log.debug("a datagram was not sent", reason=error.strerror)
        return True

    async def send(self, data: bytes, address: Address) -> None:
        """Send, as soon as the machine takes it."""
        while not self.try_send(data, address):
            # Of two tasks that wait for one socket trio allows one.
            async with self._turn:
                await trio.lowlevel.wait_writable(self.sock)


def _other_versions(header: QuicHeader, configuration: QuicConfiguration) -> bytes:
    """The answer to a version of QUIC that is not spoken here (RFC 9000, section 6.1)."""
    return encode_quic_version_negotiation(
        source_cid=header.destination_cid,
        destination_cid=header.source_cid,
        supported_versions=configuration.supported_versions,
    )
