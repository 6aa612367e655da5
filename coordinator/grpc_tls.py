"""The certificate of the gRPC port, and its renewal while the port is open.

grpc asks at every new connection, from threads of its own, whether there is something else to serve: it is
given what `load` has read since. So both ports of a coordinator go over to a renewed certificate together.
"""

from collections import deque
from pathlib import Path
from typing import Any

import grpc


class GrpcTls:
    """Our side of every handshake: TLS 1.2 or later, which is grpc's own least.

    Args:
        cert_pem: file with the certificate chain.
        key_pem: file with its key.
        client_ca_pem: file with the authorities of client certificates; "" if clients need none.
    """

    def __init__(self, cert_pem: str, key_pem: str, client_ca_pem: str) -> None:
        self._cert_pem = Path(cert_pem)
        self._key_pem = Path(key_pem)
        self._client_ca_pem = Path(client_ca_pem) if client_ca_pem else None
        # What was read last and grpc has not taken yet. A deque: its threads and ours swap it in one step.
        self._read: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)

    def load(self) -> None:
        """Read the files; whoever comes from then on is served what they hold.

        Raises:
            OSError: a file cannot be read; what was read before stays.
        """
        authorities = self._client_ca_pem.read_bytes() if self._client_ca_pem else None
        pairs = [(self._key_pem.read_bytes(), self._cert_pem.read_bytes())]
        self._read.append(grpc.ssl_server_certificate_configuration(pairs, authorities))

    def credentials(self) -> grpc.ServerCredentials:
        """For the port; `load` comes first."""
        first = self._renewed()
        if first is None:
            raise AssertionError("load comes first")
        return grpc.dynamic_ssl_server_credentials(
            first, self._renewed, require_client_authentication=self._client_ca_pem is not None
        )

    def _renewed(self) -> Any:
        """Called by grpc at every new connection: what replaces what it serves, None for no change."""
        try:
            return self._read.pop()
        except IndexError:
            return None
