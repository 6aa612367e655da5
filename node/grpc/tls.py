"""The certificate of the gRPC port, and its renewal while the port is open.

grpc asks at every new connection, from threads of its own, whether there is something else to serve: it is
given what was read last.
"""

import os
import ssl
from pathlib import Path
from typing import Any

import grpc
import structlog
import trio

from node.config.grpc import GrpcTlsOptions
from node.grpc.errors import GrpcError

log = structlog.get_logger(__name__)

# How often the files are looked at.
_CHECK_S = 3.0

# What tells one version of a file from another: a renewed one may be as long and as old.
_Version = tuple[int, int, int]


class GrpcTls:
    """Our side of every handshake: TLS 1.2 or later, which is grpc's own least.

    Args:
        options: `grpc_server.tls`.

    Attributes:
        unusable: renewed certificates that could not be used; the one before is still served.
    """

    def __init__(self, options: GrpcTlsOptions) -> None:
        self._options = options
        self._versions: tuple[_Version | None, ...] = ()
        self._serve: grpc.ServerCertificateConfiguration | None = None
        self.unusable = 0

    def load(self) -> None:
        """Read certificate, key and authorities; whoever comes from then on is served them.

        Raises:
            GrpcError: they cannot be used; the message names the option. What was read before stays.
        """
        # First, so that a change while they are read is seen by the next look.
        self._versions = self._look()
        options = self._options
        where = "grpc_server.tls.cert_pem and key_pem"
        try:
            # grpc would say only of a port that it cannot be opened, and of a renewed certificate nothing.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(options.cert_pem, options.key_pem, password="")
            pair = Path(options.key_pem).read_bytes(), Path(options.cert_pem).read_bytes()
            where = "grpc_server.tls.client_ca_pem"
            authorities = None
            if options.client_ca_pem:
                context.load_verify_locations(options.client_ca_pem)
                authorities = Path(options.client_ca_pem).read_bytes()
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise GrpcError(f"{where}: {reason or error}; give PEM files that belong together") from error
        self._serve = grpc.ssl_server_certificate_configuration([pair], authorities)

    async def watch(self) -> None:
        """Serve renewed files to those who come from then on; runs until cancelled."""
        while True:
            await trio.sleep(_CHECK_S)
            if self._look() == self._versions:
                continue
            try:
                self.load()
            except GrpcError as error:
                # Also between the writing of the certificate and that of its key.
                self.unusable += 1
                log.error("keeping the certificate in use", reason=str(error))  # noqa: TRY400 - the reason is all
            else:
                log.info("certificate renewed", file=self._options.cert_pem)

    def credentials(self) -> grpc.ServerCredentials:
        """For a port that is to be opened; `load` comes first."""
        serves = self._serve
        if serves is None:
            raise AssertionError("load comes first")

        def renewed() -> Any:
            """What replaces what this port serves, None for no change."""
            nonlocal serves
            if self._serve is serves:
                return None
            serves = self._serve
            return serves

        return grpc.dynamic_ssl_server_credentials(
            serves, renewed, require_client_authentication=bool(self._options.client_ca_pem)
        )

    def _look(self) -> tuple[_Version | None, ...]:
        options = self._options
        return tuple(map(_version, (options.cert_pem, options.key_pem, options.client_ca_pem)))


def _version(path: str) -> _Version | None:
    """Of a file; None if there is none to be seen."""
    try:
        found = os.stat(path)  # noqa: PTH116 - one call, every few seconds
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
