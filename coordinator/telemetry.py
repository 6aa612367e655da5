"""What a coordinator counts, and how Prometheus reads it. Nothing is decided by these numbers.

What another part knows anyway is read from it at a scrape; what only happens is counted here.
"""

import platform
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import prometheus_client
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

_LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_LAG_INTERVAL_S = 0.1


class Telemetry:
    """The numbers of one coordinator.

    Args:
        version: of this program.
        name: of this coordinator.

    Attributes:
        refused: requests that were refused at the door, by cause.
        malformed: what was sent and is no request.
        failures: requests that failed by a fault of this program.
        discover_answers: answers to `/discover`: "node", "full" (no node can take a client), "unavailable".
        orders: orders written, by action.
        plans_ended: plans that ended, by their last state.
        calls: calls of the service, by method and outcome.
        catalog_errors: what the catalog refused or did not answer, by kind.
        content_type: of what `render` returns.
    """

    def __init__(self, *, version: str = "", name: str = "") -> None:
        self.refused: dict[str, int] = defaultdict(int)
        self.malformed: dict[str, int] = defaultdict(int)
        self.failures = 0
        self.discover_answers: dict[str, int] = defaultdict(int)
        self.orders: dict[str, int] = defaultdict(int)
        self.plans_ended: dict[str, int] = defaultdict(int)
        self.calls: dict[tuple[str, str], int] = defaultdict(int)
        self.catalog_errors: dict[str, int] = defaultdict(int)
        self.content_type = prometheus_client.CONTENT_TYPE_LATEST
        self._build = {"version": version, "name": name, "python": platform.python_version()}
        self._observed: list[tuple[str, str, Callable[[], float], bool]] = []
        self._observed_by: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = []
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(_Collector(self))
        prometheus_client.ProcessCollector(registry=self._registry)
        self._loop_lag = prometheus_client.Histogram(
            "broadcast_coordinator_loop_lag_seconds",
            "How late the event loop woke a task.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )

    def observe(
        self, name: str, read: Callable[[], float], help_text: str = "", *, counter: bool = False
    ) -> None:
        """Have a number read from another part at every scrape.

        Args:
            name: without `broadcast_coordinator_`, with its unit.
            read: returns its value now; must not block.
            help_text: what it means.
            counter: it only grows; otherwise it is a gauge.
        """
        self._observed.append((name, help_text, read, counter))

    def observe_by(
        self, name: str, label: str, read: Callable[[], Mapping[str, float]], help_text: str
    ) -> None:
        """The same for several numbers at once.

        Args:
            name: without `broadcast_coordinator_`, with its unit.
            label: what tells them apart.
            read: the numbers by the label's values; must not block.
            help_text: what they mean.
        """
        self._observed_by.append((name, label, help_text, read))

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)

    async def watch_loop_lag(self) -> None:
        """Measure how late the event loop is, for ever; cancel to stop."""
        while True:
            due = trio.current_time() + _LAG_INTERVAL_S
            await trio.sleep_until(due)
            self._loop_lag.observe(trio.current_time() - due)

    def collect(self) -> Iterator[Metric]:
        """What was counted and what others know, as Prometheus' own objects."""
        for name, text, read, counter in self._observed:
            make = CounterMetricFamily if counter else GaugeMetricFamily
            yield make(f"broadcast_coordinator_{name}", text, value=read())
        for name, label, text, read_all in self._observed_by:
            yield _family(GaugeMetricFamily, name, text, (label,), read_all())
        counted: tuple[
            tuple[str, str, tuple[str, ...], Mapping[str, int] | Mapping[tuple[str, str], int]], ...
        ]
        counted = (
            ("refused", "Requests refused at the door.", ("cause",), self.refused),
            ("malformed", "What was sent and is no request.", ("kind",), self.malformed),
            ("discover_answers", "Answers to /discover.", ("outcome",), self.discover_answers),
            ("orders", "Orders written to nodes.", ("action",), self.orders),
            ("plans_ended", "Plans that ended while this coordinator led.", ("state",), self.plans_ended),
            ("calls", "Calls of the control service.", ("method", "outcome"), self.calls),
            ("catalog_errors", "What the catalog refused or did not answer.", ("kind",), self.catalog_errors),
        )
        for name, text, labels, values in counted:
            yield _family(CounterMetricFamily, name, text, labels, values)
        yield CounterMetricFamily(
            "broadcast_coordinator_failures", "Requests that failed by a fault of ours.", value=self.failures
        )
        build = InfoMetricFamily("broadcast_coordinator_build", "What runs here.")
        build.add_metric([], self._build)
        yield build


class _Collector(Collector):
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Metric]:
        return self._telemetry.collect()

    def describe(self) -> list[Metric]:
        # Names are not checked at registration, which would read the gauges before their parts exist.
        return []


def _family(
    make: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, float] | Mapping[tuple[str, str], float],
) -> Metric:
    family = make(f"broadcast_coordinator_{name}", text, labels=labels)
    for key, number in values.items():
        family.add_metric([*key] if isinstance(key, tuple) else [key], number)
    return family
