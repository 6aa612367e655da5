"""Lets the metrics read what the parts of a node count for themselves."""

from collections.abc import Callable
from functools import partial

from node.broker.interface import Broker
from node.catalog.interface import Catalog
from node.drain import Drain, Phase
from node.members import Members
from node.readiness import Readiness
from node.session import Parts
from node.telemetry.logs import MissingLines
from node.telemetry.series import BROKER_COUNTERS

_PHASES = {Phase.SERVING: 0, Phase.WAITING: 1, Phase.SENDING: 2, Phase.EMPTY: 3}


def observe_parts(
    parts: Parts,
    *,
    broker: Broker,
    members: Members,
    missing_lines: MissingLines,
    readiness: Readiness,
    drain: Drain,
    catalog: Catalog | None,
) -> None:
    """Register every number that a part keeps for itself; OBSERVED has the meaning of each."""
    metrics, hub, sessions, channels = parts.metrics, parts.hub, parts.sessions, parts.channels
    gauges: dict[str, Callable[[], float]] = {
        "channels": lambda: hub.channels,
        "users": lambda: sessions.users,
        "broker_connected": lambda: int(broker.connected),
        "broker_disconnected_seconds": lambda: broker.disconnected_for_s,
        "broker_outbox_bytes": lambda: broker.outbox_bytes,
        "broker_stores_unusable": lambda: len(broker.unusable()),
        "tail_publications": lambda: channels.tail_publications,
        "tail_bytes": lambda: channels.tail_bytes,
        "ready": lambda: int(not readiness.refusal()),
        "drain_phase": lambda: _PHASES[drain.phase],
    }
    counters: dict[str, Callable[[], float]] = {
        "undecodable_announcements": lambda: members.undecodable,
        "log_lines_lost": lambda: missing_lines.lost,
        "log_lines_suppressed": lambda: missing_lines.suppressed,
        "sent_away": lambda: drain.sent_away,
        "orders_refused": drain.refused.total,
        "catalog_failures": lambda: catalog.failures if catalog is not None else 0,
    }
    for name, read in gauges.items():
        metrics.observe(name, read)
    for name, read in counters.items():
        metrics.observe(name, read, counter=True)
    for name, text in BROKER_COUNTERS.items():
        metrics.observe(name, partial(_broker_counter, broker, name), text, counter=True)


def _broker_counter(broker: Broker, name: str) -> int:
    return broker.counters().get(name, 0)
