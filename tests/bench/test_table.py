"""The table of the benchmarks: medians, ratios, bounds, and what becomes of invalid rounds."""

import json
from xml.etree import ElementTree as ET

from tests.bench.__main__ import BENCHMARKS, BOUNDS_FILE, QUICK, checked, worse_than_bounds
from tests.bench.measure import FLOOR, GO, NODE, Cpu, Round, Spread
from tests.bench.plot import pictures
from tests.bench.rendering import as_json, markdown
from tests.bench.table import Bound, Row, delay_row, row_of


def rounds_of(server: str, *cpu_us: float, missing: int = 0) -> list[Round]:
    return [Round(server, 100, Cpu(us / 1e4), 1.0, expected=10, came=10 - missing) for us in cpu_us]


def test_a_row_compares_round_by_round_and_keeps_its_bound() -> None:
    """The median of the ratios is judged, against each part of the bound that can be."""
    rounds = [*rounds_of(NODE, 8, 9, 10), *rounds_of(FLOOR, 8, 9, 8), *rounds_of(GO, 16, 18, 40)]
    row = row_of("fanout", "us", rounds, Bound(floor=1.25, go=0.4))
    assert row.figures[NODE].median == 9
    assert row.ratios[FLOOR].maximum == 1.25
    assert row.broken(row.bound) == ["fanout: 0.5 x Go peer, at most 0.4 x Go peer"]
    assert row.broken(Bound(limit=9, floor=1.25)) == []


def test_a_missing_peer_is_a_dash_with_its_reason() -> None:
    """Without a compiler the figures of the node stand alone, and nothing fails for it."""
    row = row_of("fanout", "us", rounds_of(NODE, 8, 9), Bound(floor=1.25))
    text = markdown([row], {FLOOR: "there is no `cc` on the PATH"})
    assert "| fanout | us | 8.5 (8 to 9) | - | - | - | - | <= 1.25 x floor | - | 1.00 s |" in text
    assert "floor: left out (there is no `cc` on the PATH)" in text
    assert row.broken(row.bound) == []


def test_invalid_rounds_count_for_nothing_and_fail_the_row() -> None:
    """Figures of rounds in which something went missing are left out, and the row is never `met`."""
    rounds = [*rounds_of(NODE, 100, missing=1), *rounds_of(NODE, 8, 9, 10)]
    row = row_of("fanout", "us", rounds, Bound(limit=20))
    assert row.figures[NODE] == Spread(8, 9, 10)
    assert row.broken(row.bound) == ["fanout: something that was sent did not come, or came twice"]
    assert "| invalid |" in markdown([row], {})
    assert row.doubts == ["node, 1 of 4 rounds: invalid: 9 of 10 deliveries came"]


def test_json_holds_what_the_table_shows() -> None:
    """Programs get names instead of columns."""
    row = row_of("fanout", "us", [*rounds_of(NODE, 8), *rounds_of(GO, 16)], Bound(go=0.6))
    (plain,) = json.loads(json.dumps(as_json([row])))
    assert plain["figures"]["go"] == {"minimum": 16, "median": 16, "maximum": 16}
    assert plain["ratios"]["go"]["median"] == 0.5
    assert plain["met"] == "yes"


def test_a_bound_that_was_met_in_doubt_says_so() -> None:
    """A figure of rounds that were not what they were meant to be is no proof."""
    rounds = [Round(NODE, 100, Cpu(0.001), 1.0, load_cpu_s=busy) for busy in (1.0, 1.0, 0.1)]
    assert "| yes, in doubt |" in markdown([row_of("fanout", "us", rounds, Bound(limit=20))], {})
    assert "| yes |" in markdown([row_of("fanout", "us", rounds[1:], Bound(limit=20))], {})


def test_a_bound_that_was_looked_at_in_part_is_not_met() -> None:
    """Without the Go peer nobody knows how a node compares with it."""
    rounds = [*rounds_of(NODE, 8), *rounds_of(FLOOR, 8)]
    both = Bound(floor=1.25, go=0.6)
    assert "| in part |" in markdown([row_of("fanout", "us", rounds, both)], {GO: "there is no `go`"})
    assert "| no |" in markdown([row_of("fanout", "us", rounds, Bound(floor=0.5, go=0.6))], {})


def test_a_round_is_compared_with_its_neighbour_only() -> None:
    """A round that does not count takes its neighbour along; the others are not compared crosswise."""
    ours = [*rounds_of(NODE, 50, missing=1), *rounds_of(NODE, 20, 30)]
    row = row_of("fanout", "us", [*ours, *rounds_of(FLOOR, 1, 10, 15)], Bound())
    assert row.ratios[FLOOR] == Spread(2, 2, 2)


def test_a_row_of_delays_is_about_the_p99_of_all_samples() -> None:
    """Percentiles of rounds are not averaged: they only show the spread."""
    samples = ([0.001] * 100, [0.001] * 98 + [0.004] * 2)
    rounds = [Round(NODE, 1, Cpu(0.0), 1.0, samples=found) for found in samples]
    row = delay_row("latency", rounds, Bound(limit=5))
    assert row.figures[NODE] == Spread(1, 1, 4)
    assert row.delays[NODE].count == 200
    row.draws_delays = True
    assert "latency, node, publish to delivery\n    <=     1 ms  198  ####" in markdown([row], {})


def test_pictures_are_well_formed() -> None:
    """Names with signs that mean something in XML do not break one, nor do figures of nothing."""
    drawn = delay_row("latency <&>", [Round(NODE, 1, Cpu(0.0), 1.0, samples=[0.001])], Bound())
    drawn.draws_delays = True
    rows = [
        Row("fanout < b & c", "us", {NODE: Spread(1, 2, 3), GO: Spread(2, 3, 4)}),
        Row("memory", "kB", {NODE: Spread(0, 0, 0)}),
        drawn,
    ]
    found = pictures(rows, "a <machine>")
    assert set(found) == {"deliveries", "clients", "latency"}
    assert all(ET.fromstring(picture).tag.endswith("svg") for picture in found.values())


def test_committed_bounds_are_of_quick_benchmarks() -> None:
    """Every committed bound has a name that a quick run gives, so that it is really looked at."""
    bounds = {name: Bound(**parts) for name, parts in json.loads(BOUNDS_FILE.read_text()).items()}
    assert {name.split()[0].rstrip(",") for name in bounds} <= set(QUICK) <= set(BENCHMARKS)
    slow = Row("connect", "us", {NODE: Spread(9, 9, 9)}, {GO: Spread(99, 99, 99)})
    assert len(worse_than_bounds([slow], bounds)) == 1


def test_bounds_that_could_not_be_looked_at_are_named() -> None:
    """A machine without compilers does not look as if everything held."""
    rows = [Row("connect", "us", {NODE: Spread(9, 9, 9)}, {FLOOR: Spread(1, 1, 1)})]
    found = checked(rows, {"connect": Bound(limit=10, floor=2, go=1.5)})
    assert found == "2 bounds were checked; not checked: connect (go)"
