"""What must hold between settings, one row each; those within a namespace are in `channel_relations`.

A row's text is a format string over `c` (the Config). Predicates read the Config only, save for those
that open a file it names.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from node.config import patterns
from node.config.channel_relations import Broken, broken_channels
from node.config.nats_urls import parse_servers
from node.config.options import Config
from node.config.schema import NAMESPACES


class Relation(NamedTuple):
    """One row: what must hold between options.

    Attributes:
        paths: dotted paths it speaks of; the first is blamed.
        holds: whether it does.
        text: what is wrong and what to do.
    """

    paths: tuple[str, ...]
    holds: Callable[[Config], bool]
    text: str


def _readable(name: str) -> bool:
    try:
        with Path(name).open("rb"):
            return True
    except OSError:
        return False


def _are_servers(urls: str) -> bool:
    try:
        parse_servers(urls)
    except ValueError:
        return False
    return True


def _broker_accounts(c: Config) -> int:
    nats = c.broker.nats
    return sum(
        map(bool, (nats.user or nats.password, nats.token, nats.credentials_file, nats.nkey_seed_file))
    )


def _marks(c: Config) -> list[str]:
    channel = c.channel
    return [channel.namespace_boundary, channel.private_prefix, channel.user_boundary, channel.user_separator]


def _differ(marks: list[str]) -> bool:
    return len(set(marks)) == len(marks)


_POSITIVE = (
    "client.ping_interval",
    "client.stale_close_delay",
    "client.channel_limit",
    "http_server.http3.connection_limit",
    "client.queue_max_size",
    "client.history_max_publication_limit",
    "client.recovery_max_publication_limit",
    "client.command_deadline_s",
    "client.close_deadline_s",
    "channel.max_length",
    "channel.history_meta_ttl",
    "http_server.backlog",
    "http_server.head_bytes_max",
    "http_server.head_deadline_s",
    "http_server.keep_alive_s",
    "http_server.peer_silent_max_s",
    "http_api.body_bytes_max",
    "http_api.body_deadline_s",
    "websocket.message_size_limit",
    "sse.max_request_body_size",
    "http_stream.max_request_body_size",
    "emulation.max_request_body_size",
    "uni_websocket.message_size_limit",
    "uni_http_stream.max_request_body_size",
    "uni_sse.max_request_body_size",
    "uni_sse.retry_ms",
    "grpc_server.message_size_limit",
    "grpc_server.streams_per_connection_max",
    "grpc_server.keepalive_s",
    "grpc_server.keepalive_timeout_s",
    "grpc_server.client_keepalive_min_s",
    "grpc_api.max_receive_message_size",
    "broker.nats.connect_deadline_s",
    "broker.nats.request_deadline_s",
    "broker.nats.ping_interval_s",
    "broker.nats.reconnect_delay_max_s",
    "broker.nats.outbox_bytes_max",
    "broker.nats.reads_bytes_max",
    "broker.nats.duplicate_window",
    "broker.lost_max_s",
    "history.tail_size",
    "history.tail_bytes_max",
    "history.check_interval_s",
    "history.check_batch",
    "history.resubscribe_rate",
    "node.info_interval_s",
    "shutdown.timeout",
    "drain.rate",
    "drain.order_patience_s",
)
_NOT_NEGATIVE = (
    "client.user_connection_limit",
    "client.connection_limit",
    "client.connection_rate_limit",
    "client.connection_age_max_s",
    "drain.arrivals_quiet_s",
    "drain.arrivals_wait_max_s",
    "node.capacity",
)
_FILES = (
    "broker.nats.tls.ca_file",
    "broker.nats.tls.cert_file",
    "broker.nats.tls.key_file",
    "broker.nats.credentials_file",
    "broker.nats.nkey_seed_file",
    "http_server.tls.cert_pem",
    "http_server.tls.key_pem",
    "http_server.tls.client_ca_pem",
    "grpc_server.tls.cert_pem",
    "grpc_server.tls.key_pem",
    "grpc_server.tls.client_ca_pem",
)


def _above(path: str, least: int) -> Relation:
    get = attrgetter(path)
    return Relation((path,), lambda c: get(c) >= least, f"is {{c.{path}:g}}; give {least} or more")


def _positive(path: str) -> Relation:
    get = attrgetter(path)
    return Relation((path,), lambda c: get(c) > 0, f"is {{c.{path}:g}}; give more than 0")


def _file(path: str) -> Relation:
    get = attrgetter(path)
    return Relation(
        (path,),
        lambda c: not get(c) or _readable(get(c)),
        f"{{c.{path}}} does not exist or cannot be read; check the path and its permissions",
    )


RELATIONS: tuple[Relation, ...] = (
    *map(_positive, _POSITIVE),
    *(_above(path, 0) for path in _NOT_NEGATIVE),
    *map(_file, _FILES),
    Relation(
        ("client.pong_timeout", "client.ping_interval"),
        lambda c: c.client.pong_timeout < c.client.ping_interval,
        "is {c.client.pong_timeout:g} s and must be below client.ping_interval ({c.client.ping_interval:g})",
    ),
    Relation(
        ("http_server.port",),
        lambda c: 0 <= c.http_server.port <= 65535,
        "is {c.http_server.port}; give 1 to 65535, or 0 for any free port",
    ),
    Relation(
        ("http_server.tls.enabled", "http_server.tls.cert_pem", "http_server.tls.key_pem"),
        lambda c: (
            not c.http_server.tls.enabled or bool(c.http_server.tls.cert_pem and c.http_server.tls.key_pem)
        ),
        "needs http_server.tls.cert_pem and http_server.tls.key_pem",
    ),
    Relation(
        ("http_server.tls.client_ca_pem", "http_server.tls.enabled"),
        lambda c: c.http_server.tls.enabled or not c.http_server.tls.client_ca_pem,
        "asks clients for certificates, which needs http_server.tls.enabled",
    ),
    Relation(
        ("http_server.http3.enabled", "http_server.tls.enabled"),
        lambda c: c.http_server.tls.enabled or not c.http_server.http3.enabled,
        "needs http_server.tls.enabled: QUIC has no form without TLS",
    ),
    Relation(
        ("http_server.http3.enabled", "http_server.tls.client_ca_pem"),
        lambda c: not (c.http_server.http3.enabled and c.http_server.tls.client_ca_pem),
        "does not go with http_server.tls.client_ca_pem: over QUIC nobody is asked for a certificate",
    ),
    Relation(
        ("http_server.http3.announced_port",),
        lambda c: 0 <= c.http_server.http3.announced_port <= 65535,
        "is {c.http_server.http3.announced_port}; give 1 to 65535, or 0 for http_server.port",
    ),
    Relation(
        ("grpc_server.port",),
        lambda c: 0 <= c.grpc_server.port <= 65535,
        "is {c.grpc_server.port}; give 1 to 65535, or 0 for any free port",
    ),
    Relation(
        ("grpc_server.tls.enabled", "grpc_server.tls.cert_pem", "grpc_server.tls.key_pem"),
        lambda c: (
            not c.grpc_server.tls.enabled or bool(c.grpc_server.tls.cert_pem and c.grpc_server.tls.key_pem)
        ),
        "needs grpc_server.tls.cert_pem and grpc_server.tls.key_pem",
    ),
    Relation(
        ("grpc_server.tls.client_ca_pem", "grpc_server.tls.enabled"),
        lambda c: c.grpc_server.tls.enabled or not c.grpc_server.tls.client_ca_pem,
        "asks clients for certificates, which needs grpc_server.tls.enabled",
    ),
    Relation(
        ("grpc_api.key",),
        lambda c: patterns.PRINTABLE_ASCII.fullmatch(c.grpc_api.key) is not None,
        "has characters that do not survive in gRPC metadata; use printable ASCII without spaces",
    ),
    Relation(
        ("node.public_url",),
        lambda c: not c.node.public_url or patterns.WEB_ADDRESS.fullmatch(c.node.public_url) is not None,
        "is not http://host[:port] or https://host[:port], with a path or without",
    ),
    Relation(
        ("history.check_batch",),
        lambda c: c.history.check_batch <= 1000,
        "is {c.history.check_batch}; give 1000 or less, since the store answers 1,024 at most",
    ),
    Relation(
        ("broker.nats.stream_replicas",),
        lambda c: 1 <= c.broker.nats.stream_replicas <= 5,
        "is {c.broker.nats.stream_replicas}; give 1 to 5, which is what JetStream keeps",
    ),
    Relation(
        ("broker.nats.stream_backups", "broker.nats.stream_cluster"),
        lambda c: not c.broker.nats.stream_backups or c.broker.nats.stream_cluster != "",
        "goes with broker.nats.stream_cluster; say where the streams themselves are",
    ),
    Relation(
        ("broker.nats.stream_backups",),
        lambda c: all(patterns.SUBJECT_TOKEN.fullmatch(name) for name in c.broker.nats.stream_backups),
        "has the name of a cluster that cannot stand in that of a stream; use letters, digits, `-` and `_`",
    ),
    Relation(
        ("broker.nats.stream_backups",),
        lambda c: (
            not c.broker.nats.stream_cluster
            or c.broker.nats.stream_cluster not in c.broker.nats.stream_backups
        ),
        "names broker.nats.stream_cluster, which has the streams themselves; name others",
    ),
    Relation(
        ("broker.nats.prefix",),
        lambda c: patterns.SUBJECT_TOKEN.fullmatch(c.broker.nats.prefix) is not None,
        "is not one token of a subject; use letters, digits, `-` and `_`",
    ),
    Relation(
        ("broker.nats.url",),
        lambda c: _are_servers(c.broker.nats.url),
        "is not a comma-separated list of nats://host:port or tls://host:port, ports up to 65535; "
        "in a user, password or token write `@`, `:`, `/` and `,` as %40, %3A, %2F and %2C",
    ),
    Relation(
        ("broker.nats.tls.cert_file", "broker.nats.tls.key_file"),
        lambda c: bool(c.broker.nats.tls.cert_file) == bool(c.broker.nats.tls.key_file),
        "goes with broker.nats.tls.key_file; give both or neither",
    ),
    Relation(
        (
            "broker.nats.user",
            "broker.nats.token",
            "broker.nats.credentials_file",
            "broker.nats.nkey_seed_file",
        ),
        lambda c: _broker_accounts(c) <= 1,
        "more than one way to log in; keep one of user and password, token, credentials_file, nkey_seed_file",
    ),
    Relation(
        ("client.token.hmac_secret_key", "client.token.hmac_previous_secret_key"),
        lambda c: (
            not any(
                key.lstrip().startswith(("-----BEGIN", "ssh-"))
                for key in (c.client.token.hmac_secret_key, c.client.token.hmac_previous_secret_key)
            )
        ),
        "is a public or private key, not a shared secret; give random text nobody else knows",
    ),
    Relation(
        ("client.token.hmac_previous_secret_key", "client.token.hmac_secret_key"),
        lambda c: bool(c.client.token.hmac_secret_key) or not c.client.token.hmac_previous_secret_key,
        "is set while client.token.hmac_secret_key is not; give the present key too",
    ),
    Relation(
        ("http_api.key",),
        lambda c: patterns.PRINTABLE_ASCII.fullmatch(c.http_api.key) is not None,
        "has characters that do not survive in an HTTP header; use printable ASCII without spaces",
    ),
    Relation(
        ("client.allowed_origins",),
        lambda c: all(o in {"*", "null"} or patterns.ORIGIN.fullmatch(o) for o in c.client.allowed_origins),
        "each is scheme://host, scheme://host:port, or *, without a path; for example https://*.example.com",
    ),
    Relation(
        (
            "channel.namespace_boundary",
            "channel.private_prefix",
            "channel.user_boundary",
            "channel.user_separator",
        ),
        lambda c: all(len(mark) == 1 and "!" <= mark <= "~" for mark in _marks(c)) and _differ(_marks(c)),
        "the boundary, prefix and separator signs of channel names are one printable ASCII character each, "
        "and all different",
    ),
    Relation(
        (NAMESPACES,),
        lambda c: len({n.name for n in c.channel.namespaces}) == len(c.channel.namespaces),
        "a name is used twice; merge the two namespaces or rename one",
    ),
)


def broken(config: Config) -> Iterator[Broken]:
    """Every relation that does not hold.

    Args:
        config: with every option of its type.
    """
    for row in RELATIONS:
        if not row.holds(config):
            yield Broken(row.paths, row.text.format(c=config))
    yield from broken_channels("channel.without_namespace", config.channel.without_namespace, config)
    for index, namespace in enumerate(config.channel.namespaces):
        yield from broken_channels(f"{NAMESPACES}[{index}]", namespace, config)
