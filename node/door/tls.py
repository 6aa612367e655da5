"""TLS on the door: the certificate and its renewal, and the handshake of each connection.

A handshake runs in its connection's own task and within the deadline of a request's head, so one that never
ends costs what a request that never ends does. What is spoken inside is not looked at here: HTTP/2 begins
with a preface of its own (RFC 9113, section 3.4), which the door knows.
"""

import os
import ssl
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from node.config.options import HttpServerOptions
from node.config.tls import ServerTlsOptions
from node.door.connection import Connection
from node.door.counts import Counts
from node.door.listeners import DoorError
from node.door.tls_socket import TlsSocket

log = structlog.get_logger(__name__)

# How often the files are looked at.
_CHECK_S = 3.0
# Every TLS connection begins with a record of this type (RFC 8446, section 5.1), no text does.
_HANDSHAKE_RECORD = 22
# Forward secrecy and authenticated encryption, which HTTP/2 demands of TLS 1.2 (RFC 9113, section 9.2.2);
# TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOLS = ("h2", "http/1.1")

# What tells one version of a file from another: a renewed one may be as long and as old.
_Version = tuple[int, int, int]


class Tls:
    """Makes connections secure.

    Args:
        options: `http_server`.
        metrics: connections that fail to become secure are counted there.
        section: of the configuration, where the port's options are.

    Attributes:
        loaders: called whenever certificate and key are read, by who needs them in a form of its own; one
            that raises DoorError has the ones before kept for all.
    """

    def __init__(self, options: HttpServerOptions, metrics: Counts, section: str = "http_server") -> None:
        self._options = options.tls
        self._deadline_s = options.head_deadline_s
        self._metrics = metrics
        self._section = section
        self._context: ssl.SSLContext | None = None
        self._versions: tuple[_Version | None, ...] = ()
        self._unusable = 0
        self.loaders: list[Callable[[], None]] = []
        metrics.observe(
            "door_certificates_unusable",
            lambda: self._unusable,
            "Renewed certificates that could not be used; the one before is still served.",
            counter=True,
        )

    def load(self) -> None:
        """Read certificate, key and authorities.

        Raises:
            DoorError: they cannot be used; the message names the file or the option.
        """
        # First, so that a change while they are read is seen by the next look.
        self._versions = self._look()
        context = open_context(self._options, self._section)
        for load in self.loaders:
            load()
        self._context = context

    async def watch(self) -> None:
        """Serve renewed files to those who come from then on; runs until cancelled."""
        while True:
            await trio.sleep(_CHECK_S)
            if self._look() == self._versions:
                continue
            try:
                self.load()
            except DoorError as error:
                # Also between the writing of the certificate and that of its key.
                self._unusable += 1
                log.error("keeping the certificate in use", reason=str(error))  # noqa: TRY400 - the reason is all
            else:
                log.info("certificate renewed", file=self._options.cert_pem)

    def _look(self) -> tuple[_Version | None, ...]:
        options = self._options
        return tuple(map(_version, (options.cert_pem, options.key_pem, options.client_ca_pem)))

    async def secure(self, connection: Connection) -> bool:
        """Shake hands; returns whether the connection is secure, otherwise it is over.

        Args:
            connection: just accepted; it has a TlsSocket afterwards.
        """
        connection.expire_at(trio.current_time() + self._deadline_s)
        # A node that stops waits for nobody's handshake.
        connection.waiting = True
        try:
            if not await connection.fill():
                return False
            if connection.received[0] != _HANDSHAKE_RECORD:
                await self._refuse_plain(connection)
                return False
            await self._shake_hands(connection)
        except OSError as error:
            self._failed(connection, error)
            return False
        finally:
            connection.waiting = False
        return True

    async def _shake_hands(self, connection: Connection) -> None:
        if self._context is None:
            raise AssertionError("load comes first")
        received = bytes(connection.received)
        connection.received.clear()
        connection.sock = sock = TlsSocket(connection.sock, self._context, received)
        while not sock.shake_hands():
            await _flush(sock)
            await trio.lowlevel.wait_readable(sock)
            with suppress(BlockingIOError):
                if not sock.feed():
                    raise ConnectionAbortedError("the client left")
        await _flush(sock)
        # Its first request may have come with the end of the handshake.
        with suppress(BlockingIOError):
            connection.received += sock.take()

    async def _refuse_plain(self, connection: Connection) -> None:
        """Answer who does not speak TLS; a program that speaks HTTP can show the answer."""
        reason = "this port speaks TLS; use https:// or wss://"
        self._metrics.refused["plain_text"] += 1
        log.info("connection refused", peer=connection.peer, reason=reason, rate_limited="plain_text")
        await connection.answer(None, 400, reason)

    def _failed(self, connection: Connection, error: OSError) -> None:
        if connection.closing:
            return
        cause = "late_handshake" if connection.late else "tls_handshake"
        self._metrics.refused[cause] += 1
        # What OpenSSL calls it, such as UNSUPPORTED_PROTOCOL or TLSV1_ALERT_UNKNOWN_CA.
        reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
        if connection.late:
            reason = "the handshake took too long"
        log.info("handshake failed", peer=connection.peer, reason=reason, rate_limited=cause)
        if isinstance(connection.sock, TlsSocket):
            # The alert that says why.
            with suppress(OSError):
                connection.sock.flush()


async def _flush(sock: TlsSocket) -> None:
    while not sock.flush():
        await trio.lowlevel.wait_writable(sock)


def open_context(options: ServerTlsOptions, section: str = "http_server") -> ssl.SSLContext:
    """Our side of every handshake: TLS 1.2 or later.

    Args:
        options: `tls` of the section.
        section: of the configuration, for messages.

    Raises:
        DoorError: a file cannot be used; the message says which option names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could ask for one handshake after the other on one connection; TLS 1.3 has no such thing.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(_PROTOCOLS)
    where = f"{section}.tls.cert_pem and key_pem"
    try:
        # An empty password: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(options.cert_pem, options.key_pem, password="")
        where = f"{section}.tls.client_ca_pem"
        if options.client_ca_pem:
            context.load_verify_locations(options.client_ca_pem)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise DoorError(f"{where}: {reason or error}; give PEM files that belong together") from error
    return context


def _version(path: str) -> _Version | None:
    """Of a file; None if there is none to be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116 - one call, every few seconds
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
