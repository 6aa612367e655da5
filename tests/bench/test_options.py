"""The benchmarks' options: used, or refused with what would do."""

import pytest

from tests.bench.__main__ import BENCHMARKS, QUICK
from tests.bench.arena import Arena
from tests.bench.arguments import parse
from tests.bench.frames import SIZE_MIN
from tests.bench.load import Plan
from tests.bench.options import OptionError, Options

TAKES = {name: benchmark.takes for name, benchmark in BENCHMARKS.items()}


@pytest.mark.parametrize(
    ("options", "names", "words"),
    [
        (Options(rate=10), ["memory"], "`memory` has no --rate: .* fanout, burst, latency, overload, scale"),
        (Options(rate=10), list(BENCHMARKS), "has no --rate: name the benchmarks it is for"),
        (Options(size=10), ["fanout"], f"--size 10: data has {SIZE_MIN} to 32,000 bytes"),
        (Options(rate=0), ["fanout"], "--rate 0: above 0"),
        (Options(rounds=0), ["fanout"], "--rounds 0: at least one"),
        (Options(subscribers=2000), ["fanout"], "from 1 to 1,000, because a process may have no more files"),
    ],
)
def test_what_would_be_ignored_or_cannot_work_is_refused(
    options: Options, names: list[str], words: str
) -> None:
    """Nobody reads a figure that is not of what was asked for; the message names what can be asked for."""
    with pytest.raises(OptionError, match=words):
        options.check(names, TAKES, 1000)


def test_options_that_can_be_used_are() -> None:
    """A benchmark's own numbers hold where nothing else is asked for."""
    options = Options(subscribers=5, rate=10.0, size=200, rounds=2)
    options.check(["fanout", "scale"], TAKES, 1000)
    arena = Arena(quick=True, say=lambda _: None, options=options)
    assert (arena.clients(1000, 500), arena.round_count) == (5, 2)
    assert arena.plan(60.0, 3.0) == Plan(10.0, 30, 1, 200)
    plain = Arena(quick=True, say=lambda _: None)
    assert (plain.clients(1000, 500), plain.round_count) == (500, 3)
    assert plain.plan(1000.0, 0.01, burst=50) == Plan(1000.0, 50, 50, 128)


def test_only_more_rounds_leave_the_work_as_it_was() -> None:
    """The bounds are about a benchmark's own numbers."""
    assert not Options(rounds=9).change_the_work
    assert Options(size=1000).change_the_work


@pytest.mark.parametrize(
    "argv",
    [
        ["--write", "--quick"],
        ["--write", "fanout"],
        ["--write", "--rounds", "1"],
        ["--profile", "x"],
        ["fun"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Documents get whole runs, profiles are of benchmarks that were named."""
    with pytest.raises(SystemExit) as caught:
        parse(argv, TAKES, QUICK)
    assert caught.value.code == 2
    assert "broadcast bench: error:" in capsys.readouterr().err
