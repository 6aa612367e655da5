"""The settings of ports that speak TLS.

Part of the one `Config` in `options`, and as plain as that.
"""

from msgspec import Struct


class ServerTlsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server.tls` and `coordinator.tls`: our certificate, and whose certificates clients must have."""

    enabled: bool = False
    # PEM files: certificate chain and key. Read again when they change.
    cert_pem: str = ""
    key_pem: str = ""
    # Authorities of client certificates; given, a client without one of theirs is refused in the handshake.
    client_ca_pem: str = ""
