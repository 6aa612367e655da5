"""The rows of a run: figures with their spread, ratios and bounds, as Markdown or JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.measure import FLOOR, GO, NODE, Round, Spread, by_server, ratios

PEERS = {FLOOR: "floor", GO: "Go peer"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure may be: at most so much, so many times the floor's, so many times the Go peer's."""

    limit: float | None = None
    floor: float | None = None
    go: float | None = None

    def parts(self) -> dict[str, float]:
        """The parts that are set, by name."""
        named = {"limit": self.limit, FLOOR: self.floor, GO: self.go}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(slots=True)
class Row:
    """One measured thing.

    Attributes:
        name: of the benchmark and its variant.
        unit: of the figures.
        figures: of each server.
        ratios: ours to each peer's, round by round.
        bound: what ours is held to.
        wall: how long a round took with ours, seconds, if that says something.
        notes: what else is to be known, doubts about rounds first.
        valid: everything that was sent came, in every round of ours.
    """

    name: str
    unit: str
    figures: dict[str, Spread]
    ratios: dict[str, Spread] = field(default_factory=dict)
    bound: Bound = Bound()
    wall: Spread | None = None
    notes: list[str] = field(default_factory=list)
    valid: bool = True

    def broken(self, bound: Bound) -> list[str]:
        """Which parts of a bound the medians break, in words."""
        found = [] if self.valid else [f"{self.name}: something that was sent did not come"]
        for part, at_most in bound.parts().items():
            if part == "limit":
                figure, what = self.figures[NODE].median, self.unit
            elif part in self.ratios:
                figure, what = self.ratios[part].median, f"x {PEERS[part]}"
            else:
                continue
            if figure > at_most:
                found.append(f"{self.name}: {figure:.3g} {what}, at most {at_most:g} {what}")
        return found


def row_of(name: str, unit: str, rounds: Iterable[Round], bound: Bound, figure: str = "cpu_us") -> Row:
    """The row of a benchmark whose rounds alternate between servers.

    Args:
        name: the row's.
        unit: of the figure.
        rounds: all of them, our own included; those with missing deliveries count for nothing but a note.
        bound: what ours is held to.
        figure: which property of a Round is compared.
    """
    servers = by_server(rounds)
    valid = {server: [each for each in found if each.valid] or found for server, found in servers.items()}
    values = {server: [getattr(each, figure) for each in found] for server, found in valid.items()}
    compared = {peer: ratios(values[NODE], values[peer]) for peer in PEERS if peer in values}
    return Row(
        name,
        unit,
        {server: Spread.of(found) for server, found in values.items()},
        {peer: spread for peer, spread in compared.items() if spread is not None},
        bound,
        Spread.of([each.wall_s for each in valid[NODE]]),
        [
            f"{server}, {len(found) - clean} of {len(found)} rounds: {doubt}"
            for server, found in servers.items()
            for doubt, clean in _doubts(found).items()
        ],
        all(each.valid for each in servers[NODE]),
    )


def _doubts(rounds: Sequence[Round]) -> dict[str, int]:
    """The first doubt of each kind, and in how many rounds it was not."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for each in rounds:
        for doubt in each.doubts:
            kind = doubt.split(":")[0]
            first.setdefault(kind, doubt)
            count[kind] = count.get(kind, 0) + 1
    return {first[kind]: len(rounds) - count[kind] for kind in first}


def markdown(rows: Sequence[Row], missing: Mapping[str, str]) -> str:
    """The table, and below it the notes.

    Args:
        rows: what was measured.
        missing: peers that could not be had, with the reason.
    """
    lines = [
        "| what | unit | node (min to max) | floor | Go peer | x floor | x Go peer | bound | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [_figure(row.figures.get(name)) for name in (NODE, *PEERS)]
        compared = [_figure(row.ratios.get(name)) for name in PEERS]
        lines.append(f"| {' | '.join([row.name, row.unit, *figures, *compared, _bound(row), _met(row)])} |")
    notes = [f"{PEERS[name]}: - ({reason})" for name, reason in missing.items()]
    notes += [f"{row.name}: {note}" for row in rows for note in row.notes]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{_short(spread.median)} ({_short(spread.minimum)} to {_short(spread.maximum)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bound(row: Row) -> str:
    words = {"limit": "<= {:g}", FLOOR: "<= {:g} x floor", GO: "<= {:g} x Go"}
    return ", ".join(words[part].format(value) for part, value in row.bound.parts().items()) or "-"


def _met(row: Row) -> str:
    if not row.valid:
        return "invalid"
    if not any(part == "limit" or part in row.ratios for part in row.bound.parts()):
        return "-"
    return "no" if row.broken(row.bound) else "yes"


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as plain data."""

    def plain(value: Any) -> Any:
        if isinstance(value, Spread):
            return value._asdict()
        return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value

    return [{key: plain(value) for key, value in asdict(row).items()} | {"met": _met(row)} for row in rows]
