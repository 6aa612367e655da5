"""What makes a run of the benchmarks fail, apart from a figure that is worse than its bound."""

import pytest

from tests.bench import __main__ as runner
from tests.bench.__main__ import Benchmark
from tests.bench.arena import Arena
from tests.bench.measure import NODE, Spread
from tests.bench.table import Row

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
