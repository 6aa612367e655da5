"""The rows of a run: figures with their spread, how they compare, what they are held to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.bench.delays import Delays, delays_of
from tests.bench.measure import (
    ALONE,
    FLOOR,
    GO,
    GO_NATS,
    HYPERCORN,
    NODE,
    OVER_TLS,
    TRIO_WEBSOCKET,
    WEBSOCKET,
    Round,
    Spread,
    by_server,
    ratios,
)

PEERS = {
    FLOOR: "floor",
    GO: "Go peer",
    GO_NATS: "Go peer on NATS",
    TRIO_WEBSOCKET: "trio-websocket",
    HYPERCORN: "hypercorn",
    WEBSOCKET: "a node, WebSocket",
    ALONE: "a node, undisturbed",
    OVER_TLS: "a node, SSE over TLS",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure may be: at most so much, and so many times a peer's figure."""

    limit: float | None = None
    floor: float | None = None
    go: float | None = None
    go_nats: float | None = None
    websocket: float | None = None
    alone: float | None = None

    def parts(self) -> dict[str, float]:
        """The parts that are set, by name: limit, or that of a peer."""
        named = {"limit": self.limit, FLOOR: self.floor, GO: self.go, GO_NATS: self.go_nats}
        named |= {WEBSOCKET: self.websocket, ALONE: self.alone}
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
        notes: what else is to be known.
        doubts: why figures are not what they seem, as far as the rounds show it.
        delays: how long deliveries or answers took, of each server.
        draws_delays: they are what the row is about, so their histogram is shown.
        valid: everything that was sent came, to each client once, in every round of ours.
        doubtful: most of our rounds, or of a peer's in the bound, were not what they were meant to be.
    """

    name: str
    unit: str
    figures: dict[str, Spread]
    ratios: dict[str, Spread] = field(default_factory=dict)
    bound: Bound = Bound()
    wall: Spread | None = None
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    delays: dict[str, Delays] = field(default_factory=dict)
    draws_delays: bool = False
    valid: bool = True
    doubtful: bool = False

    def lost(self) -> list[str]:
        """That not all came, if it did not, in words."""
        return [] if self.valid else [f"{self.name}: something that was sent did not come, or came twice"]

    def broken(self, bound: Bound) -> list[str]:
        """Which parts of a bound the medians break, in words."""
        found = self.lost()
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

    def unchecked(self, bound: Bound) -> list[str]:
        """Which parts of a bound cannot be looked at, for want of the peer."""
        return [part for part in bound.parts() if part != "limit" and part not in self.ratios]


def row_of(name: str, unit: str, rounds: Iterable[Round], bound: Bound, figure: str = "cpu_us") -> Row:
    """The row of a benchmark whose rounds alternate between servers.

    Args:
        name: the row's.
        unit: of the figure.
        rounds: all of them, our own included; those with missing deliveries count for nothing but a doubt.
        bound: what ours is held to.
        figure: which property of a Round is compared.
    """
    servers = by_server(rounds)
    valid = {server: [each for each in found if each.valid] or found for server, found in servers.items()}
    return Row(
        name,
        unit,
        {server: Spread.of([getattr(each, figure) for each in found]) for server, found in valid.items()},
        _compared(servers, figure),
        bound,
        Spread.of([each.wall_s for each in valid[NODE]]),
        doubts=[
            f"{PEERS.get(server, server)}, {count} of {len(found)} rounds: {doubt}"
            for server, found in servers.items()
            for doubt, count in _doubts(found)
        ],
        delays=_delays(valid),
        valid=all(each.valid for each in servers[NODE]),
        doubtful=any(
            2 * sum(bool(each.doubts) for each in servers.get(server, ())) > len(servers.get(server, ()))
            for server in (NODE, *bound.parts())
        ),
    )


def delay_row(name: str, rounds: Sequence[Round], bound: Bound) -> Row:
    """A row about the p99 of all samples, between those of the best and the worst round, milliseconds."""
    row = row_of(name, "ms", rounds, bound)
    p99s = {server: _p99s(found) for server, found in by_server(rounds).items()}
    for server, found in p99s.items():
        whole = row.delays[server].percentiles["p99"]
        row.figures[server] = Spread(min(*found, whole), whole, max(*found, whole))
    row.ratios = {}
    for peer, found in p99s.items():
        compared = ratios(p99s[NODE], found) if peer in PEERS else None
        if compared is not None:
            row.ratios[peer] = compared
    row.notes = [f"{PEERS.get(server, server)}: {delays}" for server, delays in row.delays.items()]
    return row


def _p99s(rounds: Iterable[Round]) -> list[float]:
    found = [delays_of(each.samples) for each in rounds]
    return [delays.percentiles["p99"] for delays in found if delays is not None]


def _compared(servers: dict[str, list[Round]], figure: str) -> dict[str, Spread]:
    """Ours to each peer's, of pairs of neighbouring rounds in both of which everything came."""
    found = {}
    for peer in PEERS:
        pairs = list(zip(servers[NODE], servers.get(peer, ()), strict=False))
        pairs = [pair for pair in pairs if pair[0].valid and pair[1].valid] or pairs
        ours, theirs = ([getattr(pair[side], figure) for pair in pairs] for side in (0, 1))
        spread = ratios(ours, theirs)
        if spread is not None:
            found[peer] = spread
    return found


def _delays(servers: dict[str, list[Round]]) -> dict[str, Delays]:
    found = {name: delays_of(s for each in rounds for s in each.samples) for name, rounds in servers.items()}
    return {name: delays for name, delays in found.items() if delays is not None}


def _doubts(rounds: Sequence[Round]) -> list[tuple[str, int]]:
    """The first doubt of each kind, and in how many rounds there was one of that kind."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for each in rounds:
        for doubt in each.doubts:
            kind = doubt.split(":")[0]
            first.setdefault(kind, doubt)
            count[kind] = count.get(kind, 0) + 1
    return [(first[kind], number) for kind, number in count.items()]
