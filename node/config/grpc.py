"""The settings of a node that serves gRPC.

Part of the one `Config` in `options`, and as plain as that.
"""

from typing import Literal

from msgspec import Struct, field

from node.config.durations import Duration


class GrpcTlsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`grpc_server.tls`: our certificate, and whose certificates clients must have."""

    enabled: bool = False
    # PEM files: certificate chain and key.
    cert_pem: str = ""
    key_pem: str = ""
    # Authorities of client certificates; given, a client needs one of theirs, and is the user that its
    # common name says unless it has a token.
    client_ca_pem: str = ""


class GrpcServerOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`grpc_server`: the port of a node that serves gRPC."""

    # Empty: all interfaces. Port 0: any free one.
    address: str = ""
    port: int = 10000
    tls: GrpcTlsOptions = field(default_factory=GrpcTlsOptions)
    # A message from a client, bytes (RESOURCE_EXHAUSTED above); of calls to the API: see `grpc_api`.
    message_size_limit: int = 65_536
    # Calls and streams that one connection may have at a time; others wait.
    streams_per_connection_max: int = 1000
    # Silence after which a connection is probed, how long the answer may take, and how often clients may
    # probe us.
    keepalive_s: Duration = Duration(25)
    keepalive_timeout_s: Duration = Duration(8)
    client_keepalive_min_s: Duration = Duration(10)
    # Let programs ask which services and messages there are.
    reflection: bool = True


class GrpcApiOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`grpc_api`: the server API over gRPC."""

    enabled: bool = False
    # The key backends send as `authorization: apikey KEY`; empty and not insecure: every call is refused.
    key: str = ""
    insecure: bool = False
    # "transport": errors of a method become status codes; "": they are part of its answer.
    error_mode: Literal["", "transport"] = ""
    # A request, bytes (RESOURCE_EXHAUSTED above).
    max_receive_message_size: int = 4_194_304


class UniGrpcOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`uni_grpc`: the unidirectional gRPC transport."""

    enabled: bool = False
