"""What must hold between the settings of the catalog and of the coordinator, one row each.

Rows are those of `relations`, and are checked with them.
"""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

from node.config import patterns
from node.config.channel_relations import Broken
from node.config.options import Config
from node.config.relations import Relation

_POSITIVE = (
    "catalog.report_interval_s",
    "coordinator.leader_ttl_s",
    "coordinator.tick_s",
    "coordinator.rebalance.interval_s",
)
_NOT_NEGATIVE = (
    "coordinator.plans_kept",
    "coordinator.rebalance.threshold_sessions",
    "coordinator.rebalance.threshold_relative",
    "coordinator.rebalance.age_min_s",
)
_PORTS = ("coordinator.port", "coordinator.grpc_port")
_FILES = ("catalog.consul.ca_file", "catalog.consul.cert_file", "catalog.consul.key_file")
_PORT_MAX = 65_535


def _is_agent(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and bare


def _exists(name: str) -> bool:
    return not name or Path(name).is_file()


def _row(path: str, least: str, *, zero: bool) -> Relation:
    get = attrgetter(path)
    return Relation(
        (path,), lambda c: get(c) > 0 or (zero and get(c) == 0), f"is {{c.{path}:g}}; give {least}"
    )


def _port(path: str) -> Relation:
    get = attrgetter(path)
    text = f"is {{c.{path}}}; give 1 to {_PORT_MAX}, or 0 for any free port"
    return Relation((path,), lambda c: 0 <= get(c) <= _PORT_MAX, text)


def _file(path: str) -> Relation:
    get = attrgetter(path)
    return Relation((path,), lambda c: _exists(get(c)), f"{{c.{path}}} does not exist; check the path")


CATALOG_RELATIONS: tuple[Relation, ...] = (
    *(_row(path, "more than 0", zero=False) for path in _POSITIVE),
    *(_row(path, "0 or more", zero=True) for path in _NOT_NEGATIVE),
    *map(_port, _PORTS),
    # Whether the files of coordinator.tls are there, a coordinator sees: nodes read the same settings and are
    # no place for its key.
    *map(_file, _FILES),
    Relation(
        ("catalog.report_interval_s", "catalog.ttl_s"),
        lambda c: c.catalog.report_interval_s < c.catalog.ttl_s,
        "is {c.catalog.report_interval_s:g} s and must be below catalog.ttl_s ({c.catalog.ttl_s:g} s), "
        "better a third of it: a node whose reports come later than that is taken for gone",
    ),
    Relation(
        ("catalog.consul.url",),
        lambda c: _is_agent(c.catalog.consul.url),
        "is not http://host:port or https://host:port; the token goes into catalog.consul.token",
    ),
    Relation(
        ("catalog.consul.cert_file", "catalog.consul.key_file"),
        lambda c: bool(c.catalog.consul.cert_file) == bool(c.catalog.consul.key_file),
        "goes with catalog.consul.key_file; give both or neither",
    ),
    Relation(
        ("catalog.consul.service",),
        lambda c: patterns.SUBJECT_TOKEN.fullmatch(c.catalog.consul.service) is not None,
        "is not the name of a service; use letters, digits, `-` and `_`",
    ),
    Relation(
        ("catalog.consul.prefix",),
        lambda c: patterns.KEY_PREFIX.fullmatch(c.catalog.consul.prefix) is not None,
        "is not the beginning of a key; use letters, digits, `-`, `_` and `.`, with `/` in between",
    ),
    Relation(
        ("coordinator.tls.enabled", "coordinator.tls.cert_pem", "coordinator.tls.key_pem"),
        lambda c: (
            not c.coordinator.tls.enabled or bool(c.coordinator.tls.cert_pem and c.coordinator.tls.key_pem)
        ),
        "needs coordinator.tls.cert_pem and coordinator.tls.key_pem",
    ),
    Relation(
        ("coordinator.tls.client_ca_pem", "coordinator.tls.enabled"),
        lambda c: c.coordinator.tls.enabled or not c.coordinator.tls.client_ca_pem,
        "asks clients for certificates, which needs coordinator.tls.enabled",
    ),
    Relation(
        ("coordinator.connect_share",),
        lambda c: 0 < c.coordinator.connect_share <= 1,
        "is {c.coordinator.connect_share:g}; give more than 0 and no more than 1",
    ),
)


def broken_catalog(config: Config) -> Iterator[Broken]:
    """Every relation of the catalog and the coordinator that does not hold.

    Args:
        config: with every option of its type.
    """
    for row in CATALOG_RELATIONS:
        if not row.holds(config):
            yield Broken(row.paths, row.text.format(c=config))
