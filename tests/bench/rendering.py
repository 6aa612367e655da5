"""A run's rows as text: the tables, the notes below them, and the same for programs as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.delays import histogram
from tests.bench.measure import ALONE, FLOOR, GO, GO_NATS, NODE, WEBSOCKET, Spread
from tests.bench.table import PEERS, Row

# The peers that have columns of their own; the others are measured in a few rows only.
COLUMNS = (FLOOR, GO)
# The rows of the short table: what most readers look for.
_SHORT = (
    "fanout websocket",
    "fanout sse",
    "burst of 50",
    "connect",
    "memory",
    "publish",
    "latency",
    "crowd of",
    "recover",
    "transports",
)


def markdown(rows: Sequence[Row], missing: Mapping[str, str]) -> str:
    """The tables, the histograms and the notes.

    Args:
        rows: what was measured.
        missing: peers that could not be had, with the reason.
    """
    drawn = [(row, *each) for row in rows if row.draws_delays for each in row.delays.items()]
    histograms = [
        f"{row.name.split(',')[0]}, {PEERS.get(server, server)}, publish to delivery\n"
        + "".join(f"    {line}\n" for line in histogram(delays))
        for row, server, delays in drawn
    ]
    parts = [main_table(rows), others_table(rows), "\n".join(notes(rows, missing)), *histograms]
    return "\n\n".join(part for part in parts if part)


def main_table(rows: Sequence[Row]) -> str:
    """What a node takes, next to the floor and the Go peer."""
    lines = [
        "| what | unit | node (min to max) | floor | Go peer | x floor | x Go peer | bound | met | a round |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [_figure(row.figures.get(name)) for name in (NODE, *COLUMNS)]
        compared = [_figure(row.ratios.get(name)) for name in COLUMNS]
        wall = f"{row.wall.median:.2f} s" if row.wall else "-"
        cells = [row.name, row.unit, *figures, *compared, _bound(row), _met(row), wall]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def others_table(rows: Sequence[Row]) -> str:
    """What other ways took in the same rounds; nothing if there was none."""
    lines = [
        f"| {row.name} | {PEERS[name]} | {row.unit} | {_figure(spread)} | {_figure(row.ratios.get(name))} |"
        for row in rows
        for name, spread in row.figures.items()
        if name != NODE and name not in COLUMNS
    ]
    if not lines:
        return ""
    head = ["| in the same rounds | server | unit | its figure | the node's is so many times that |"]
    return "\n".join([*head, "|---|---|---|---|---|", *lines])


def short_table(rows: Sequence[Row]) -> str:
    """The medians of what most readers look for."""
    lines = ["| what | unit | node | C floor | Go peer |", "|---|---|---|---|---|"]
    for row in rows:
        if row.name.startswith(_SHORT):
            found = [row.figures.get(name) for name in (NODE, *COLUMNS)]
            figures = [_short(spread.median) if spread else "-" for spread in found]
            lines.append(f"| {' | '.join([row.name, row.unit, *figures])} |")
    return "\n".join(lines)


def notes(rows: Sequence[Row], missing: Mapping[str, str]) -> list[str]:
    """What is to be known beside the figures, as items of a list: who is missing, doubts, notes."""
    found = [f"{PEERS[name]}: left out ({reason})" for name, reason in missing.items()]
    found += [f"{row.name}: {doubt}" for row in rows for doubt in row.doubts]
    found += [f"{row.name}: {note}" for row in rows for note in row.notes]
    return [f"- {note}" for note in found]


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{_short(spread.median)} ({_short(spread.minimum)} to {_short(spread.maximum)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bound(row: Row) -> str:
    words = {
        "limit": "<= {:g}",
        FLOOR: "<= {:g} x floor",
        GO: "<= {:g} x Go",
        GO_NATS: "<= {:g} x Go on NATS",
        WEBSOCKET: "<= {:g} x WebSocket",
        ALONE: "<= {:g} x undisturbed",
    }
    return ", ".join(words[part].format(value) for part, value in row.bound.parts().items()) or "-"


def _met(row: Row) -> str:
    if not row.valid:
        return "invalid"
    unchecked = row.unchecked(row.bound)
    if len(unchecked) == len(row.bound.parts()):
        return "-"
    met = "no" if row.broken(row.bound) else "in part" if unchecked else "yes"
    return f"{met}, in doubt" if row.doubtful else met


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as plain data."""

    def plain(value: Any) -> Any:
        if isinstance(value, Spread):
            return value._asdict()
        return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value

    return [{key: plain(value) for key, value in asdict(row).items()} | {"met": _met(row)} for row in rows]
