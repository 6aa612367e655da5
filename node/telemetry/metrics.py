"""What a node counts, and how Prometheus reads it.

Counting is an integer or a dictionary entry; Prometheus' own objects, which lock and look labels up, are
made at a scrape only. Every metric is a row of SERIES with its help text.
"""

import platform
from collections import defaultdict
from collections.abc import Callable, Iterator

import prometheus_client
import trio
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from node.telemetry.loop_lag import BUCKETS_S, LoopLag
from node.telemetry.series import OBSERVED, SERIES, Series

_CLOSES_MAX = 64


class Metrics:
    """The numbers of one node, to be incremented in place; never read to decide anything.

    Args:
        version: of this program.
        node: this node's name.

    Attributes:
        content_type: of what `render` returns.
        loop_lag: see `watch_loop_lag`.
    """

    __slots__ = (
        "_node", "_observed", "_registry", "_version", "broker_publishes",
        "bytes_in", "bytes_out", "closes", "command_errors", "connected", "connections_opened",
        "content_type", "deliveries", "failures", "gap_repairs", "loop_lag", "malformed",
        "protocol_errors", "publications_in", "publications_out", "recoveries", "refused", "slow_clients",
        "subscriptions",
    )  # fmt: skip

    def __init__(self, *, version: str = "", node: str = "") -> None:
        self.connected: dict[str, int] = defaultdict(int)
        self.connections_opened: dict[str, int] = defaultdict(int)
        self.subscriptions = 0
        self.publications_in: dict[str, int] = defaultdict(int)
        self.publications_out: dict[str, int] = defaultdict(int)
        self.deliveries = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.closes: dict[tuple[int, str], int] = defaultdict(int)
        self.slow_clients = 0
        self.gap_repairs: dict[str, int] = defaultdict(int)
        self.recoveries: dict[tuple[str, str], int] = defaultdict(int)
        self.failures = 0
        self.broker_publishes: dict[str, int] = defaultdict(int)
        self.refused: dict[str, int] = defaultdict(int)
        self.command_errors: dict[int, int] = defaultdict(int)
        self.protocol_errors = 0
        self.malformed: dict[str, int] = defaultdict(int)
        self.loop_lag = LoopLag()
        self.content_type = prometheus_client.CONTENT_TYPE_LATEST
        self._version = version
        self._node = node
        self._observed: dict[str, tuple[str, Callable[[], float], bool]] = {}
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(_NodeCollector(self))
        prometheus_client.ProcessCollector(registry=self._registry)

    def session_opened(self, transport: str) -> None:
        """A client's connection became a session."""
        self.connected[transport] += 1
        self.connections_opened[transport] += 1

    def session_ended(self, transport: str) -> None:
        """A session's connection is gone."""
        self.connected[transport] -= 1

    def closed(self, code: int, reason: str) -> None:
        """A session was closed.

        Args:
            code: the protocol's, or a backend's own (4000 to 4999).
            reason: the text that went with it; a backend can make up any number of them, so only the
                first ones are told apart.
        """
        key = (code, reason)
        if key not in self.closes and len(self.closes) >= _CLOSES_MAX:
            key = (0, "other")
        self.closes[key] += 1

    def observe(
        self, name: str, read: Callable[[], float], help_text: str = "", *, counter: bool = False
    ) -> None:
        """Have a number read from another part at every scrape.

        Args:
            name: without `broadcast_`, with its unit.
            read: returns its value now; must not block.
            help_text: what it means; not needed for the names in OBSERVED.
            counter: it only grows; otherwise it is a gauge.

        Raises:
            ValueError: nobody says what it means, or the name is taken.
        """
        text = help_text or OBSERVED.get(name, "")
        if not text:
            raise ValueError(f"the metric {name} needs a help text")
        if name in self._observed or name in {row.name for row in SERIES}:
            raise ValueError(f"there is a metric {name} already")
        self._observed[name] = (text, read, counter)

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Everything as Prometheus' own objects, made anew."""
        for row in SERIES:
            yield _family(row, getattr(self, row.attribute))
        for name, (text, read, counter) in self._observed.items():
            make = CounterMetricFamily if counter else GaugeMetricFamily
            yield make(f"broadcast_{name}", text, value=read())
        yield from _lag_families(self.loop_lag)
        build = InfoMetricFamily("broadcast_build", "What runs here.")
        build.add_metric(
            [], {"version": self._version, "node": self._node, "python": platform.python_version()}
        )
        yield build


async def watch_loop_lag(metrics: Metrics, interval_s: float = 0.1) -> None:
    """Measure how late the event loop is, for ever; cancel to stop.

    Args:
        metrics: where the measurements go.
        interval_s: seconds between two of them.
    """
    while True:
        due = trio.current_time() + interval_s
        await trio.sleep_until(due)
        now = trio.current_time()
        metrics.loop_lag.record(now - due, now)


class _NodeCollector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect()

    def describe(self) -> list[Metric]:
        # Names are not checked at registration, which would read the gauges before their parts exist.
        return []


def _family(row: Series, value: object) -> Metric:
    make = CounterMetricFamily if row.counter else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = make(
        f"broadcast_{row.name}", row.text, labels=row.labels
    )
    if isinstance(value, dict):
        for key, number in value.items():
            labels = key if isinstance(key, tuple) else (key,)
            family.add_metric([str(label) for label in labels], number)
    elif isinstance(value, int):
        family.add_metric([], value)
    return family


def _lag_families(lag: LoopLag) -> Iterator[Metric]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], lag.counts, strict=True):
        total += count
        buckets.append((bound, total))
    histogram = HistogramMetricFamily("broadcast_loop_lag_seconds", "How late the event loop woke a task.")
    histogram.add_metric([], buckets, sum_value=lag.sum_s)
    yield histogram
    yield GaugeMetricFamily(
        "broadcast_loop_lag_max_seconds",
        "The latest wake-up of the last one to two minutes.",
        value=lag.max_s,
    )
