"""What a checker says, and the figures it judges by."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

from chaos.recorded import Recorded, Stream

State = Literal["valid", "unknown", "invalid"]
_WORSE: tuple[State, ...] = ("valid", "unknown", "invalid")
_EVIDENCE_MAX = 20
_MIB = 1024 * 1024


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What still passes; an experiment states what differs.

    Attributes:
        requires: verdicts that are unknown if there was nothing to judge; the others are valid then.
        delivery_p99_s: from publishing to delivery, while no fault is in force.
        delivery_max_s: from being accepted to any one delivery, while nothing is broken and the client there.
        late_s: a delivery that takes longer belongs to catching up.
        caught_up_s: until when the last late delivery has to come.
        recovery_p99_s: from losing the session, not by one's own wish, to being subscribed again.
        caught_up_from: what both count from: the injection or the healing of the fault.
        refusals_max: share of recoveries that may be refused though little was missed and in the same epoch.
        kept_publications: so few a channel still keeps when a client that missed them comes back.
        settle_s: how long after a healing the cluster may still be busy with it.
        plain_settle_s: how close to the ends of its subscription a client may miss a plain publication.
        connect_rate_max: new sessions a second a node may get while another drains; None: what it says.
        connect_window_s: over how long that rate is measured.
        connect_slack: how many times the rate still passes.
        drain_cut_off_max: clients of a draining node whose connection may break without a word.
        wordless_transports: how names of transports begin that cannot carry a disconnect code.
        balance_sessions: how far from its share a node may be after a rebalance, clients; the coordinator's
            `threshold_sessions`.
        balance_relative: likewise, as a part of the share; the larger of the two counts.
        balance_settle_s: how long after it clients may still be on their way.
        isolation_p99_s: of healthy clients beside slow ones; up to here it never matters.
        isolation_factor: how many times the p99 before.
        leak_files: descriptors a node may have more after the run than before.
        leak_tasks: tasks likewise.
        leak_memory_bytes: resident memory likewise.
        harness_cpu_max: share of a core above which the harness was the bottleneck.
        harness_lag_max_s: how late its loops may be.
    """

    requires: frozenset[str] = frozenset(
        {"lost", "duplicated", "reordered", "invented", "unsignalled_gap", "late", "leaks", "harness"}
    )
    delivery_p99_s: float = 0.5
    delivery_max_s: float = 10.0
    late_s: float = 1.0
    caught_up_s: float = 10.0
    recovery_p99_s: float = 10.0
    caught_up_from: Literal["inject", "heal"] = "heal"
    refusals_max: float = 0.0
    kept_publications: int = 250
    settle_s: float = 5.0
    plain_settle_s: float = 1.0
    connect_rate_max: float | None = None
    connect_window_s: float = 2.0
    connect_slack: float = 1.25
    drain_cut_off_max: int = 0
    wordless_transports: tuple[str, ...] = ("sse",)
    balance_sessions: int = 10
    balance_relative: float = 0.1
    balance_settle_s: float = 2.0
    isolation_p99_s: float = 0.25
    isolation_factor: float = 2.0
    leak_files: int = 8
    leak_tasks: int = 8
    leak_memory_bytes: int = 64 * _MIB
    harness_cpu_max: float = 0.95
    harness_lag_max_s: float = 0.5


class Case(msgspec.Struct, frozen=True):
    """One thing that went wrong.

    Attributes:
        what: in words.
        t: when, seconds since the run began.
        client: who was wronged.
        channel: where.
        id: which publication.
        offset: its place.
        node: where the client was.
    """

    what: str
    t: float | None = None
    client: str = ""
    channel: str = ""
    id: str = ""
    offset: int | None = None
    node: str = ""


def delivery_case(recorded: Recorded, stream: Stream, at: int, what: str) -> Case:
    """A delivery as evidence.

    Args:
        recorded: the history.
        stream: whose and where.
        at: the index of the delivery.
        what: went wrong, in words.
    """
    t = stream.times[at]
    name = recorded.publications[stream.numbers[at]].id
    node = recorded.node_of(stream.client, t)
    return Case(what, t - recorded.zero, stream.client, stream.channel, name, stream.offsets[at], node)


class Verdict(msgspec.Struct, frozen=True):
    """What one checker found.

    Attributes:
        name: the checker's.
        state: valid, invalid, or unknown if the history does not say.
        summary: why, in words.
        evidence: the first cases.
        measured: figures by name, their unit last.
    """

    name: str
    state: State
    summary: str
    evidence: tuple[Case, ...] = ()
    measured: dict[str, float] = {}


class Cases:
    """Collects what went wrong: counts all, keeps the first.

    Attributes:
        count: how many there were.
        first: the first of them.
        clients: how many of each client.
        nodes: how many at each node.
    """

    __slots__ = ("clients", "count", "first", "nodes")

    def __init__(self, cases: Iterable[Case] = ()) -> None:
        self.count = 0
        self.first: list[Case] = []
        self.clients: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()
        for case in cases:
            self.add(case)

    def add(self, case: Case) -> None:
        """Takes one."""
        self.count += 1
        if len(self.first) < _EVIDENCE_MAX:
            self.first.append(case)
        if case.client:
            self.clients[case.client] += 1
        if case.node:
            self.nodes[case.node] += 1

    def where(self) -> str:
        """Whom it hit, in words."""
        parts = []
        if self.clients:
            name, count = self.clients.most_common(1)[0]
            others = f"{len(self.clients):,} clients, most at " if len(self.clients) > 1 else ""
            parts.append(f"{others}{name} ({count:,})")
        if self.nodes:
            parts.append(
                "by node " + ", ".join(f"{name} {count:,}" for name, count in sorted(self.nodes.items()))
            )
        return "; ".join(parts)


def conclude(
    name: str,
    recorded: Recorded,
    bounds: Bounds,
    cases: Cases,
    *,
    judged: int,
    of: str,
    doubt: str = "",
    words: str = "",
    measured: dict[str, float] | None = None,
) -> Verdict:
    """A verdict: invalid if anything went wrong, unknown if it cannot be told, else valid.

    Args:
        name: the checker's.
        recorded: the history, which may not be complete.
        bounds: whether there has to be something to judge.
        cases: what went wrong.
        judged: how many things were looked at.
        of: what they are, in the plural.
        doubt: what makes a clean result worth nothing; empty if nothing does.
        words: what there is to say beside the count.
        measured: figures by name.
    """
    figures = {"judged": float(judged), "wrong": float(cases.count), **(measured or {})}
    doubt = "; ".join(filter(None, (doubt, *recorded.cut_short)))
    if cases.count:
        state: State = "invalid"
        said = [f"{cases.count:,} wrong in {judged:,} {of}", words, cases.where()]
    elif not judged:
        state = "unknown" if doubt or name in bounds.requires else "valid"
        said = [f"there were no {of}", doubt, words]
    elif doubt:
        state = "unknown"
        said = [f"nothing wrong in {judged:,} {of}, but {doubt}", words]
    else:
        state = "valid"
        said = [f"nothing wrong in {judged:,} {of}", words]
    return Verdict(name, state, "; ".join(filter(None, said)), tuple(cases.first), figures)


def worst(verdicts: Iterable[Verdict]) -> State:
    """The run's verdict; a run that nobody judged is unknown."""
    return max((verdict.state for verdict in verdicts), key=_WORSE.index, default="unknown")
