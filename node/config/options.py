"""Every setting and limit of a node, with its unit and its default. Nothing here reads a file.

Names and nesting are Centrifugo v6's wherever it has the option, so that a config can move over;
options of our own carry their unit last. A Duration is seconds as a float; files may write `300`,
`"300s"`, `"500ms"`, `"5m"`, `"720h"`. Options are plain data: `load` reads and checks them.
"""

from typing import Literal

from msgspec import Struct, field

from node.config.coordination import CatalogOptions, CoordinatorOptions
from node.config.durations import Duration as Duration  # noqa: PLC0414 - marks that it is exported here
from node.config.grpc import GrpcApiOptions, GrpcServerOptions, UniGrpcOptions
from node.config.tls import ServerTlsOptions
from node.config.transports import (
    EmulationOptions,
    GrpcWebOptions,
    HttpStreamOptions,
    SseOptions,
    UniHttpStreamOptions,
    UniSseOptions,
    UniWebSocketOptions,
    WebSocketOptions,
)


class TokenOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`client.token`: how connection tokens are verified."""

    # Shared secret of HS256/384/512 tokens; empty: no token is accepted.
    hmac_secret_key: str = ""
    # The secret before the last rotation; tokens signed with it are accepted too.
    hmac_previous_secret_key: str = ""
    # Required `aud` and `iss`; empty: not checked.
    audience: str = ""
    issuer: str = ""
    # The claim that holds the user's id.
    user_id_claim: str = "sub"


class ClientOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`client`: what one connection may do."""

    token: TokenOptions = field(default_factory=TokenOptions)
    # Accept everybody, without a token, and allow every operation. For development; said aloud at start.
    insecure: bool = False
    # Origins (scheme://host[:port], `*` in a part) browsers may connect from; requests without Origin pass.
    allowed_origins: tuple[str, ...] = ()
    allow_anonymous_connect_without_token: bool = False
    disallow_anonymous_connection_tokens: bool = False
    # Server pings, and how long their pong may take; pong_timeout < ping_interval.
    ping_interval: Duration = Duration(25)
    pong_timeout: Duration = Duration(8)
    # A connection that has not sent a valid connect command by then is closed (3502).
    stale_close_delay: Duration = Duration(10)
    # How long after its token's expiry a connection may still refresh.
    expired_close_delay: Duration = Duration(25)
    # Subscriptions per connection.
    channel_limit: int = 128
    # Connections per user on this node, and of all users; 0: no limit.
    user_connection_limit: int = 0
    connection_limit: int = 0
    # Bytes waiting for one client before it is closed as slow (3008).
    queue_max_size: int = 1_048_576
    # Publications in one answer to a client's history command, and in one recovery.
    history_max_publication_limit: int = 300
    recovery_max_publication_limit: int = 300
    # How long a command, and what came with it, may take before an error is the answer; below the SDKs' 5 s.
    command_deadline_s: Duration = Duration(4)
    # How long a closed connection may take to read its last bytes and say goodbye.
    close_deadline_s: Duration = Duration(5)
    # New sessions per second on this node, the others are answered 503; 0: no limit.
    connection_rate_limit: int = 0
    # A connection older than this is sent away with 3001 and comes back where a load balancer wants it;
    # spread by 20 %, so that those that came together do not go together; 0: never.
    connection_age_max_s: Duration = Duration(0)


class ChannelOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a namespace's channels can do and who may do it."""

    # Publications kept per channel and for how long readers see them; both > 0 turn history on.
    history_size: int = 0
    history_ttl: Duration = Duration(0)
    # How long the store keeps messages and positions stay meaningful; 0: channel.history_meta_ttl.
    history_meta_ttl: Duration = Duration(0)
    # Streams this namespace is spread over; one stream has one raft leader.
    history_partitions: int = 1
    force_recovery: bool = False
    allow_recovery: bool = False
    force_positioning: bool = False
    allow_positioning: bool = False
    allow_subscribe_for_client: bool = False
    allow_subscribe_for_anonymous: bool = False
    allow_publish_for_client: bool = False
    allow_publish_for_subscriber: bool = False
    allow_publish_for_anonymous: bool = False
    allow_history_for_client: bool = False
    allow_history_for_subscriber: bool = False
    allow_history_for_anonymous: bool = False
    # Let users subscribe to channels that name them behind `#`.
    allow_user_limited_channels: bool = False
    # A pattern (Python `re`, searched) that channel names without their namespace must match; empty: any.
    channel_regex: str = ""
    # What `data` must be: "json", "json_object" or anything ("binary"); "" is JSON for clients and anything
    # for the API. Subscribers who speak JSON are disconnected (3506) by data that is not.
    publication_data_format: Literal["", "json", "json_object", "binary"] = ""

    @property
    def keeps_history(self) -> bool:
        """Whether publications are stored."""
        return self.history_size > 0 and self.history_ttl > 0


class Namespace(ChannelOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`channel.namespaces[]`: options for channels named `name:...`."""

    name: str


class ChannelsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`channel`: names, and options per namespace."""

    # Bytes of a channel name.
    max_length: int = 255
    namespace_boundary: str = ":"
    private_prefix: str = "$"
    user_boundary: str = "#"
    user_separator: str = ","
    history_meta_ttl: Duration = Duration(720 * 3600)
    without_namespace: ChannelOptions = field(default_factory=ChannelOptions)
    namespaces: tuple[Namespace, ...] = ()


class Http3Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server.http3`: HTTP/3 on the UDP port of the same number, and its announcement (Alt-Svc)."""

    enabled: bool = False
    # The UDP port that clients are told of, where it is another outside; 0: http_server.port.
    announced_port: int = 0
    # Connections over QUIC at one time; more find no answer, and their clients use TCP.
    connection_limit: int = 10_000


class HttpServerOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server`: the door."""

    # Empty: all interfaces. Port 0: any free one.
    address: str = ""
    port: int = 8000
    # For the whole port.
    tls: ServerTlsOptions = field(default_factory=ServerTlsOptions)
    http3: Http3Options = field(default_factory=Http3Options)
    # Let several nodes of one machine share the port (SO_REUSEPORT).
    reuse_port: bool = False
    # Connections the kernel holds until they are accepted.
    backlog: int = 4096
    # A request's line and headers, bytes (431 above) and how long they may take to arrive (408); a TLS
    # handshake may take as long.
    head_bytes_max: int = 16_384
    head_deadline_s: Duration = Duration(10)
    # How long a kept-alive connection may be idle between requests.
    keep_alive_s: Duration = Duration(75)
    # Unacknowledged data or a closed window this long ends a connection (TCP_USER_TIMEOUT).
    peer_silent_max_s: Duration = Duration(60)


class HttpApiOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_api`: the server API."""

    # The key backends send as X-API-Key; empty and not insecure: every call is answered 401.
    key: str = ""
    insecure: bool = False
    # A request body, bytes (413 above), and how long it may take to arrive.
    body_bytes_max: int = 4_194_304
    body_deadline_s: Duration = Duration(10)


class NatsTlsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`broker.nats.tls`: verification of the servers, and our own certificate."""

    enabled: bool = False
    # PEM files; empty: the system's authorities, and no certificate of our own.
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class NatsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`broker.nats`: the servers and how long to bear with them."""

    # Comma-separated; tried in random order.
    url: str = "nats://127.0.0.1:4222"
    # First token of every subject and stream of this cluster.
    prefix: str = "broadcast"
    user: str = ""
    password: str = ""
    token: str = ""
    # A file with a user JWT and seed, or with an nkey seed.
    credentials_file: str = ""
    nkey_seed_file: str = ""
    tls: NatsTlsOptions = field(default_factory=NatsTlsOptions)
    connect_deadline_s: Duration = Duration(2)
    # A publish or a read ends by then, retries included.
    request_deadline_s: Duration = Duration(3)
    # Silence after which the connection is probed, and probed again before it is given up.
    ping_interval_s: Duration = Duration(2)
    # Reconnect delay: uniform between 0 and min(this, 0.1 * 2**attempt).
    reconnect_delay_max_s: Duration = Duration(3)
    # Bytes waiting to be sent to the server; above, publishing is refused.
    outbox_bytes_max: int = 16_777_216
    # Bytes of stored messages on their way to this node at one time; other reads wait. Half of what the
    # servers hold back for a connection (`max_pending`, 64 MB) before they cut it, live messages and all.
    reads_bytes_max: int = 33_554_432
    # Copies of each stream a node creates, and where they are kept.
    stream_replicas: int = 1
    stream_storage: Literal["file", "memory"] = "file"
    # In a super-cluster: the cluster that keeps them; empty: the one at which the first node asks.
    stream_cluster: str = ""
    # Tags that each server that keeps a copy has to have (`server_tags` in nats.conf).
    stream_tags: tuple[str, ...] = ()
    # Other clusters of a super-cluster with a copy of each stream, made by `broadcast streams apply`. Nobody
    # reads them; they are for the day on which stream_cluster is lost for good.
    stream_backups: tuple[str, ...] = ()
    # How long a retry with the same message id finds the first one; <= every history_meta_ttl.
    duplicate_window: Duration = Duration(300)


class BrokerOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`broker`: what carries publications between nodes."""

    type: Literal["nats", "memory"] = "nats"
    nats: NatsOptions = field(default_factory=NatsOptions)
    # A node cut off longer than this is not ready and refuses subscriptions to history channels.
    lost_max_s: Duration = Duration(10)


class HistoryRunOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`history`: how a node repairs and remembers."""

    # Publications of one channel kept in memory while it has subscribers, and their bytes.
    tail_size: int = 300
    tail_bytes_max: int = 1_048_576
    # Heads of a newly subscribed channel are compared again after these delays.
    check_delays_s: tuple[Duration, ...] = (Duration(0.05), Duration(1))
    # Heads of every active channel are compared this often.
    check_interval_s: Duration = Duration(40)
    # Channels compared in one request; the store answers 1,024 at most.
    check_batch: int = 500
    # Subscriptions told `insufficient state` per second after an epoch was lost.
    resubscribe_rate: int = 1000


class NodeOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`node`: identity."""

    # Empty: host name and port.
    name: str = ""
    # How often a node tells the others what it carries.
    info_interval_s: Duration = Duration(3)
    # Its HTTP port as clients reach it, scheme://host[:port]; empty: http:// or https://, the host's
    # name and the port.
    public_url: str = ""
    # Sessions it can hold, for placement; 0: client.connection_limit, or what the open
    # files allow, 50,000 at most.
    capacity: int = 0


class LogOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`log`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    # "auto": console on a terminal, JSON lines elsewhere.
    format: Literal["auto", "console", "json"] = "auto"


class ShutdownOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`shutdown`."""

    # From SIGTERM to exit at the latest.
    timeout: Duration = Duration(30)


class DrainOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`drain`: how a node empties itself."""

    # After leaving rotation it waits until no client has come for so long, and no longer than the maximum.
    arrivals_quiet_s: Duration = Duration(2)
    arrivals_wait_max_s: Duration = Duration(10)
    # Sessions per second it sends away while no coordinator sets the pace; more if the deadline needs it.
    rate: int = 200
    # Silence of the coordinator after which it goes on at its own pace.
    order_patience_s: Duration = Duration(3)


class DemoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`demo`: the page at `/`."""

    enabled: bool = False
    # Addresses of other nodes' pages, as browsers reach them, shown as links: http://127.0.0.1:8001.
    peers: tuple[str, ...] = ()


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a node can be told."""

    node: NodeOptions = field(default_factory=NodeOptions)
    http_server: HttpServerOptions = field(default_factory=HttpServerOptions)
    http_api: HttpApiOptions = field(default_factory=HttpApiOptions)
    client: ClientOptions = field(default_factory=ClientOptions)
    channel: ChannelsOptions = field(default_factory=ChannelsOptions)
    websocket: WebSocketOptions = field(default_factory=WebSocketOptions)
    sse: SseOptions = field(default_factory=SseOptions)
    http_stream: HttpStreamOptions = field(default_factory=HttpStreamOptions)
    emulation: EmulationOptions = field(default_factory=EmulationOptions)
    uni_websocket: UniWebSocketOptions = field(default_factory=UniWebSocketOptions)
    uni_sse: UniSseOptions = field(default_factory=UniSseOptions)
    uni_http_stream: UniHttpStreamOptions = field(default_factory=UniHttpStreamOptions)
    grpc_server: GrpcServerOptions = field(default_factory=GrpcServerOptions)
    grpc_api: GrpcApiOptions = field(default_factory=GrpcApiOptions)
    uni_grpc: UniGrpcOptions = field(default_factory=UniGrpcOptions)
    grpc_web: GrpcWebOptions = field(default_factory=GrpcWebOptions)
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    history: HistoryRunOptions = field(default_factory=HistoryRunOptions)
    log: LogOptions = field(default_factory=LogOptions)
    shutdown: ShutdownOptions = field(default_factory=ShutdownOptions)
    drain: DrainOptions = field(default_factory=DrainOptions)
    catalog: CatalogOptions = field(default_factory=CatalogOptions)
    coordinator: CoordinatorOptions = field(default_factory=CoordinatorOptions)
    demo: DemoOptions = field(default_factory=DemoOptions)
