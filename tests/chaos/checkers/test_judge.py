"""All checkers together: a correct history passes every one, a single damage fails exactly those it concerns.

The histories come from a small simulated cluster that does everything right.
"""

import random
from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from chaos.checkers.judge import CHECKERS, judge
from chaos.checkers.verdict import Bounds, worst
from chaos.history import Delivered, Position, Published, Record, Session, Subscribed
from chaos.recorded import Recorded
from tests.chaos.histories import PLAIN, ROOM, Story

# When things happen is not what is damaged here.
# These clusters are made of deliveries: they have no processes.
OF_PROCESSES = {"leaks", "harness"}
BOUNDS = Bounds(
    delivery_p99_s=1e6,
    delivery_max_s=1e6,
    caught_up_s=1e6,
    recovery_p99_s=1e6,
    refusals_max=1.0,  # so that what a refusal ends is seen
    requires=Bounds().requires - OF_PROCESSES,
)
CLIENTS = ("c0", "c1", "c2")


class Seen(NamedTuple):
    """A delivery on the history channel: where it stands, in which stretch, and how it came."""

    at: int
    stretch: int
    recovered: bool
    accepted: bool


class Cluster:
    """A cluster without faults of its own: clients break away and come back, and miss nothing untold."""

    def __init__(self, seed: int, steps: int) -> None:
        self.chance = random.Random(seed)
        self.story = Story()
        self.log: list[tuple[str, int, bool]] = []  # id, offset, accepted
        self.position = dict.fromkeys(CLIENTS, 10)
        self.online: set[str] = set()
        self.told = set(CLIENTS)  # who starts at the head the next time
        self.stretch = dict.fromkeys(CLIENTS, 0)
        self.seen: dict[str, list[Seen]] = {name: [] for name in CLIENTS}
        self.ends: dict[tuple[str, int], str] = {}
        for name in CLIENTS:
            self.story.client(name)
            self.come(name)
        for _ in range(steps):
            self.chance.choices((self.publish, self.publish_plain, self.go, self.back), (6, 3, 1, 2))[0]()
        for name in CLIENTS:
            if name not in self.online:
                self.come(name)
            for channel in (ROOM, PLAIN):
                self.story.final(
                    name, self.log[-1][0] if self.log and channel == ROOM else "", channel=channel
                )

    def publish(self) -> None:
        self.story.wait(0.3)
        name = f"h{len(self.log)}"
        accepted = self.chance.random() < 0.8
        self.story.head += self.chance.randrange(3)  # other channels share the stream
        self.story.published(name, outcome="ok" if accepted else "unknown")
        self.log.append((name, self.story.head, accepted))
        for client in sorted(self.online):
            self.deliver(client, *self.log[-1], recovered=False)

    def deliver(self, client: str, name: str, offset: int, accepted: bool, *, recovered: bool) -> None:
        self.story.delivered(client, name)
        self.position[client] = offset
        at = len(self.story.records) - 1
        self.seen[client].append(Seen(at, self.stretch[client], recovered, accepted))

    def publish_plain(self) -> None:
        name = f"p{len(self.story.records)}"
        self.story.wait(0.3).published(name, channel=PLAIN)
        for client in sorted(self.online):
            self.story.delivered(client, name, channel=PLAIN)

    def go(self) -> None:
        if not self.online:
            return
        client = self.chance.choice(sorted(self.online))
        self.online.remove(client)
        code = self.chance.choice((0, -1, 3001, 3010))
        self.story.closed(client, code)
        if code == 3010:
            self.told.add(client)

    def back(self) -> None:
        away = sorted(set(CLIENTS) - self.online)
        if away:
            self.come(self.chance.choice(away))

    def come(self, client: str) -> None:
        self.online.add(client)
        self.story.connected(client, self.chance.choice(("node-1", "node-2")))
        self.story.subscribed(client, PLAIN)
        if client in self.told:
            self.told.remove(client)
            self.story.subscribed(client)
        elif self.chance.random() < 0.3:
            self.story.recovered(client, self.position[client], said=False)
        else:
            after = self.position[client]
            self.story.recovered(client, after)
            for name, offset, accepted in self.log:
                if offset > after:
                    self.deliver(client, name, offset, accepted, recovered=True)
            return
        self.stretch[client] += 1
        self.position[client] = self.story.head

    def records(self) -> list[Record]:
        return list(self.story.records)

    def pick(self) -> tuple[str, int]:
        """A client and an index into what it saw."""
        clients = [name for name in CLIENTS if self.seen[name]]
        assume(clients)
        client = self.chance.choice(clients)
        return client, self.chance.randrange(len(self.seen[client]))


clusters = st.builds(Cluster, st.integers(0, 2**32), st.integers(5, 60))


def invalid(records: list[Record]) -> set[str]:
    """Names of the verdicts that fail; all evidence has its place on the report's time axis."""
    recorded = Recorded.of(records)
    found = [verdict for verdict in judge(recorded, BOUNDS) if verdict.state == "invalid"]
    for case in (case for verdict in found for case in verdict.evidence):
        assert case.t is not None
        assert 0 <= case.t <= recorded.end - recorded.zero
        assert case.node in ("node-1", "node-2")
    return {verdict.name for verdict in found}


def test_every_verdict_is_given() -> None:
    """A checker that is not in the list judges nothing."""
    verdicts = judge(Story().recorded(), BOUNDS)
    assert [verdict.name for verdict in verdicts] == list(CHECKERS)
    assert worst(verdicts) == "unknown"


@given(clusters)
def test_a_correct_history_passes_all(cluster: Cluster) -> None:
    """No checker cries wolf, whoever breaks away when and however it comes back."""
    assume(any(seen.accepted for listed in cluster.seen.values() for seen in listed))
    verdicts = judge(Recorded.of(cluster.records()), BOUNDS)
    assert {verdict.name: verdict.state for verdict in verdicts} == dict.fromkeys(CHECKERS, "valid")


@given(clusters)
def test_a_dropped_delivery_is_caught(cluster: Cluster) -> None:
    """A loss; beside it a gap if later ones came live, or a false claim if a recovery left it out."""
    client, index = cluster.pick()
    seen = cluster.seen[client]
    gone = seen[index]
    rest = [each for each in seen if each.stretch == gone.stretch and each.at > gone.at]
    final = gone.stretch == cluster.stretch[client]
    elsewhere = any(
        isinstance(record, Delivered) and record.client != client and record.id == _id(cluster, gone)
        for record in cluster.records()
    )
    owed = bool(rest) or (final and gone.accepted)
    expected: set[str] = set()
    if owed and gone.accepted:
        expected.add("lost")
    if owed and (gone.accepted or elsewhere):
        if gone.recovered:
            expected.add("false_recovered")
        elif rest:
            expected.add("unsignalled_gap")
    records = cluster.records()
    del records[gone.at]
    assert invalid(records) == expected


def _id(cluster: Cluster, seen: Seen) -> str:
    record = cluster.story.records[seen.at]
    assert isinstance(record, Delivered)
    return record.id


@given(clusters)
def test_a_repeated_delivery_is_caught(cluster: Cluster) -> None:
    """By one checker, and no other takes it for something else."""
    client, index = cluster.pick()
    records = cluster.records()
    at = cluster.seen[client][index].at
    records.insert(at + 1, records[at])
    assert invalid(records) == {"duplicated"}


@given(clusters)
def test_two_swapped_deliveries_are_caught(cluster: Cluster) -> None:
    """The older one comes right after the newer one."""
    client, index = cluster.pick()
    seen = cluster.seen[client]
    assume(index + 1 < len(seen))
    first, second = seen[index], seen[index + 1]
    assume(first.stretch == second.stretch)
    records = cluster.records()
    late = records[first.at]
    assert isinstance(late, Delivered)
    records.insert(second.at + 1, Delivered(_time(records, second), client, ROOM, late.id, late.offset))
    del records[first.at]
    assert invalid(records) == {"reordered"}


def _time(records: list[Record], seen: Seen) -> float:
    return records[seen.at].t


@given(clusters)
def test_an_invented_delivery_is_caught(cluster: Cluster) -> None:
    """With an id of nobody, beside a real one."""
    client, index = cluster.pick()
    records = cluster.records()
    at = cluster.seen[client][index].at
    real = records[at]
    assert isinstance(real, Delivered)
    records.insert(at + 1, Delivered(real.t, client, ROOM, "ghost", real.offset))
    assert invalid(records) == {"invented"}


@given(clusters)
def test_a_claim_to_have_recovered_is_caught_when_it_was_not(cluster: Cluster) -> None:
    """Where the cluster told the truth, `recovered: false`, it says the opposite."""
    records = cluster.records()
    lies = [
        at
        for at, record in enumerate(records)
        if isinstance(record, Subscribed) and record.recovered is False
    ]
    assume(lies)
    at = cluster.chance.choice(lies)
    told = records[at]
    assert isinstance(told, Subscribed)
    assert told.asked is not None
    missed = [
        record
        for record in records[:at]
        if isinstance(record, Published) and record.phase == "ok" and record.offset > told.asked.offset
    ]
    records[at] = Subscribed(
        told.t,
        told.client,
        ROOM,
        told.epoch,
        told.asked.offset,
        Position("e1", told.asked.offset),
        recovered=True,
    )
    found = invalid(records)
    assert found <= {"false_recovered", "lost"}
    if missed and _stays(records, at, told.client):
        assert {"false_recovered", "lost"} <= found


def _stays(records: list[Record], at: int, client: str) -> bool:
    """Whether the client is never told anything again."""
    return not any(
        (isinstance(record, Session) and record.client == client and record.code == 3010)
        or (isinstance(record, Subscribed) and record.client == client and record.recovered is False)
        for record in records[at + 1 :]
    )
