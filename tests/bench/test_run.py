"""What makes a run of the benchmarks fail, apart from a figure that is worse than its bound."""

import pytest

from tests.bench import __main__ as runner
from tests.bench.__main__ import Benchmark, unmeasured
from tests.bench.arena import Arena
from tests.bench.measure import FLOOR, GO, NODE, Spread
from tests.bench.table import Bound, Row

_ONE = Spread(1, 1, 1)


def run_of(rows: list[Row], monkeypatch: pytest.MonkeyPatch, *, quick: bool) -> list[str]:
    """What fails in a whole run whose only benchmark gives these rows."""
    monkeypatch.setattr(runner, "BENCHMARKS", {"some": Benchmark(lambda _: rows, frozenset())})
    monkeypatch.setattr(runner, "QUICK", ("some",))
    _, failed = runner._run_all(Arena(quick, lambda _: None), ())
    return failed


def test_a_run_in_which_something_was_lost_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full run is held to no bound, but what is sent has to come."""
    row = Row("some", "us", {NODE: _ONE})
    assert run_of([row], monkeypatch, quick=False) == []
    row.valid = False
    assert run_of([row], monkeypatch, quick=False) == [
        "some: something that was sent did not come, or came twice"
    ]


def test_a_quick_run_looks_at_every_committed_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark that is renamed does not take its bound out of sight."""
    failed = run_of([Row("fanout of websocket", "us", {NODE: _ONE})], monkeypatch, quick=True)
    assert "fanout websocket: has a bound, but nothing of that name is measured" in failed


def test_only_a_missing_peer_excuses_a_bound_that_is_not_looked_at() -> None:
    """A bound next to a server that is not measured there holds nothing."""
    rows = [Row("connect", "us", {NODE: _ONE}, {FLOOR: _ONE})]
    bounds = {"connect": Bound(limit=1, floor=1, go=1)}
    assert unmeasured(rows, bounds, {GO: "there is no `go`"}) == []
    assert unmeasured(rows, bounds, {}) == [
        "connect: has a bound next to Go peer, which is not measured with it"
    ]
