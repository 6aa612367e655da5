"""What Prometheus reads."""

import time

import pytest
import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from node.telemetry.metrics import Metrics, watch_loop_lag
from node.telemetry.series import OBSERVED, SERIES
from tests.patience import PATIENCE_S


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_every_attribute_is_rendered_with_its_labels() -> None:
    """What is incremented in place is what a scrape shows."""
    metrics = Metrics()
    metrics.session_opened("websocket")
    metrics.session_opened("websocket")
    metrics.session_ended("websocket")
    metrics.subscriptions += 3
    metrics.publications_in["api"] += 5
    metrics.bytes_out += 100
    metrics.closed(3008, "slow")
    metrics.recoveries["recovered", "tail"] += 1
    metrics.command_errors[103] += 2
    seen = scrape(metrics)
    assert seen["broadcast_connections", (("transport", "websocket"),)] == 1
    assert seen["broadcast_connections_opened_total", (("transport", "websocket"),)] == 2
    assert seen["broadcast_subscriptions", ()] == 3
    assert seen["broadcast_publications_in_total", (("source", "api"),)] == 5
    assert seen["broadcast_client_sent_bytes_total", ()] == 100
    assert seen["broadcast_closes_total", (("code", "3008"), ("reason", "slow"))] == 1
    assert seen["broadcast_recoveries_total", (("detail", "tail"), ("result", "recovered"))] == 1
    assert seen["broadcast_command_errors_total", (("code", "103"),)] == 2


def test_every_row_has_a_number_a_name_and_a_help_text() -> None:
    """No metric is undocumented, none is rendered twice, and none misses its attribute."""
    metrics = Metrics()
    for row in SERIES:
        assert isinstance(getattr(metrics, row.attribute), dict) is bool(row.labels)
        assert row.text.endswith(".")
    names = [row.name for row in SERIES] + list(OBSERVED)
    assert len(set(names)) == len(names)
    for name in OBSERVED:
        metrics.observe(name, lambda: 1)
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.documentation
    assert metrics.content_type.startswith("text/plain")


def test_the_process_and_the_build_are_part_of_it() -> None:
    """Memory, descriptors and CPU come from the client library's own collector."""
    seen = scrape(Metrics(version="1.2", node="n1"))
    assert seen["process_resident_memory_bytes", ()] > 0
    (labels,) = [dict(labels) for name, labels in seen if name == "broadcast_build_info"]
    assert (labels["version"], labels["node"]) == ("1.2", "n1")


def test_an_observed_gauge_is_read_at_every_scrape() -> None:
    """Other parts keep their own numbers."""
    metrics = Metrics()
    channels = ["a"]
    metrics.observe("channels", lambda: len(channels))
    assert scrape(metrics)["broadcast_channels", ()] == 1
    channels.append("b")
    assert scrape(metrics)["broadcast_channels", ()] == 2


def test_an_observed_gauge_needs_a_meaning_and_a_name_of_its_own() -> None:
    """A gauge without help text, or over another, is a mistake at composition."""
    metrics = Metrics()
    metrics.observe("mine", lambda: 1, "What I count.")
    for name, text in [("nobody_knows", ""), ("mine", "Again."), ("subscriptions", "Again.")]:
        with pytest.raises(ValueError, match=name):
            metrics.observe(name, lambda: 1, text)


def test_a_backends_own_close_reasons_do_not_grow_without_bound() -> None:
    """After the first ones they are counted together."""
    metrics = Metrics()
    for number in range(500):
        metrics.closed(4000, f"reason {number}")
    metrics.closed(4000, "reason 0")
    assert len(metrics.closes) <= 65
    assert sum(metrics.closes.values()) == 501
    assert metrics.closes[4000, "reason 0"] == 2


def test_two_nodes_of_one_process_do_not_share_numbers() -> None:
    """There is no global registry."""
    one, other = Metrics(), Metrics()
    one.slow_clients += 1
    assert scrape(other)["broadcast_slow_clients_total", ()] == 0


async def test_a_loop_that_is_on_time_has_no_lag(autojump_clock: trio.testing.MockClock) -> None:
    """Every interval is one measurement."""
    metrics = Metrics()
    with trio.move_on_after(1.05):
        await watch_loop_lag(metrics, interval_s=0.1)
    assert sum(metrics.loop_lag.counts) == 10
    seen = scrape(metrics)
    assert seen["broadcast_loop_lag_seconds_count", ()] == 10
    assert seen["broadcast_loop_lag_seconds_bucket", (("le", "0.001"),)] == 10
    assert seen["broadcast_loop_lag_max_seconds", ()] < 0.001


async def test_a_loop_that_was_blocked_shows_it() -> None:
    """A task that does not give way is what this is for."""
    metrics = Metrics()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_loop_lag, metrics, 0.001)
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(0.05)  # noqa: ASYNC251 - the blocking is the point
        with trio.fail_after(PATIENCE_S):
            while not metrics.loop_lag.sum_s:  # noqa: ASYNC110 - there is no event to wait for
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert metrics.loop_lag.max_s > 0.02
