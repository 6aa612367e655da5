"""The history of a run: everything the workload saw and the faults did, in records.

The checkers judge from this alone. Writers do not judge, the judge does not ask the cluster. Several
processes write a file each (see `history_file`). Times are absolute readings of CLOCK_MONOTONIC, which
the processes of a machine share; they are handed in, nothing here reads a clock. A client belongs to one
file, and within it the order of lines is the order in which the client saw things: write a `Subscribed`
before the `Delivered` of the publications its reply brought.

Ids are the generator's, unique in a run, and also the idempotency key: a publisher that does not know
an outcome may try the same id again on a history channel, never on a plain one. Which channels keep
history is said by the run, which configured it, and not by what a node answers.
"""

from typing import Literal, NamedTuple

import msgspec

Outcome = Literal["invoke", "ok", "fail", "unknown"]
Role = Literal["healthy", "slow", "hostile"]


class Position(NamedTuple):
    """A place in a channel's stream."""

    epoch: str
    offset: int


class Run(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="run"):
    """What is run; written once, by the runner, when the run begins.

    Attributes:
        t: when, seconds of CLOCK_MONOTONIC; the zero of the report's time axis.
        experiment: its name.
        seed: repeats the schedule.
        command: what to type to run it again.
        started: date and time, for people.
        history_namespaces: of channels that are configured to keep history.
    """

    t: float
    experiment: str
    seed: int
    command: str = ""
    started: str = ""
    history_namespaces: tuple[str, ...] = ("history",)


class Phase(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="phase"):
    """The run enters a part of itself; written by the runner.

    Attributes:
        t: when, seconds.
        name: `baseline` (nobody is connected yet), `connect`, `load` (steady, publishing), `faults`,
            `final` (all is healed, clients catch up), `idle` (all clients have gone).
    """

    t: float
    name: Literal["baseline", "connect", "load", "faults", "final", "idle"]


class Client(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="client"):
    """A client that will take part; written before its first session, so that none is forgotten.

    Attributes:
        t: when, seconds.
        client: its name, unique in the run.
        role: healthy; slow (reads late; still owed every message, but not in time); hostile (never reads, or
            floods: owed nothing).
    """

    t: float
    client: str
    role: Role = "healthy"


class Published(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="pub"):
    """A publication begins or ends; `invoke` comes first, then exactly one other.

    Attributes:
        t: when, seconds: before the request is sent for invoke, after the answer otherwise.
        phase: invoke; ok (accepted: the answer said so); fail (surely not accepted, and never will be);
            unknown (no answer, or one that leaves it open).
        id: the publication's, carried in its data.
        publisher: its name; one publisher publishes to a channel one at a time, in the order of its ids.
        channel: where to.
        node: which node was asked.
        offset: of the accepted one; 0 on a plain channel and before.
        epoch: of the accepted one; empty on a plain channel and before.
        reason: why it failed or is unknown.
    """

    t: float
    phase: Outcome
    id: str
    publisher: str
    channel: str
    node: str = ""
    offset: int = 0
    epoch: str = ""
    reason: str = ""


# The reason of a client whose connection the run itself broke; to the cluster it is as any other.
DROPPED = "dropped"


class Session(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="session"):
    """A client's connection changes.

    Attributes:
        t: when, seconds.
        client: whose.
        transport: which.
        node: the node's name.
        phase: connecting (before the socket is opened), connected (the node welcomed it), closed (after
            either).
        code: the disconnect code if the node gave one; 0: the connection broke or could not be made;
            -1: the client left by itself, as the schedule or the end of the run wanted.
        reason: in words.
    """

    t: float
    client: str
    transport: str
    node: str
    phase: Literal["connecting", "connected", "closed"]
    code: int = 0
    reason: str = ""


class Subscribed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="sub"):
    """The node said that a client is subscribed; its publications follow as `Delivered`.

    Attributes:
        t: when, seconds.
        client: who.
        channel: to what.
        epoch: the answer's; empty on a plain channel.
        offset: the answer's: the position the subscription continues from.
        asked: the position the client asked to recover from, or None.
        recovered: what the node said; None if it said nothing, as it should where it was not asked.
    """

    t: float
    client: str
    channel: str
    epoch: str = ""
    offset: int = 0
    asked: Position | None = None
    recovered: bool | None = None


class Unsubscribed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="unsub"):
    """A subscription ended while the connection stays.

    Attributes:
        t: when, seconds.
        client: whose.
        channel: of what.
        code: the node's; -1: the client's own wish.
    """

    t: float
    client: str
    channel: str
    code: int


class Delivered(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="d"):
    """A publication reached a client, live or recovered.

    Attributes:
        t: when, seconds.
        client: who got it.
        channel: as the push said.
        id: as the data said.
        offset: as the push said; 0 on a plain channel.
    """

    t: float
    client: str
    channel: str
    id: str
    offset: int = 0


class FaultChanged(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="fault"):
    """A fault comes into force or is healed; `inject` is written before it acts, `heal` after it stopped.

    Since `healing` it is being undone: what it brought about may be over at any time.

    Attributes:
        t: when, seconds.
        name: the fault's, with its target where two may overlap, such as `node-kill node-1`.
        phase: inject, healing or heal; skipped: could not be injected here, `detail` says why.
        detail: in words.
        node: for a drain: the node that is to become empty.
        drain_deadline_s: for a drain: seconds until it has to be; 0 otherwise.
        slow: whether others must not notice it: slow or hostile clients, or a part in no message's way.
    """

    t: float
    name: str
    phase: Literal["inject", "healing", "heal", "skipped"]
    detail: str = ""
    node: str = ""
    drain_deadline_s: float = 0.0
    slow: bool = False


class Rebalance(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="rebalance"):
    """The load of nodes is evened out, by what an operator asked for.

    Attributes:
        t: when, seconds.
        phase: begin (before it is asked for) or end (the coordinator said so).
        nodes: those in rotation that serve the same clients, by name.
        rate: clients a second that may be moved, of all nodes together; 0: none was asked for.
    """

    t: float
    phase: Literal["begin", "end"]
    nodes: tuple[str, ...]
    rate: float = 0.0


class Sample(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="sample"):
    """What a process told of itself or was seen to use; None where it is not known.

    Attributes:
        t: when, seconds.
        what: the node's name or the process: `node-1`, `nats-1`, `workload-1`, `runner`.
        kind: whether it is judged (node, broker, coordinator) or judges (harness).
        pid: tells processes of one name apart.
        connections: open client connections.
        files: open descriptors.
        memory_bytes: resident.
        tasks: trio tasks, or threads.
        connect_rate: new sessions a second it says it can take; 0: it has not found out yet.
        cpu: share of a core since its last sample, 1.0 is one core.
        loop_lag_s: how late its event loop was, seconds.
    """

    t: float
    what: str
    kind: Literal["node", "broker", "coordinator", "catalog", "harness"] = "node"
    pid: int = 0
    connections: int | None = None
    files: int | None = None
    memory_bytes: int | None = None
    tasks: int | None = None
    connect_rate: float | None = None
    cpu: float | None = None
    loop_lag_s: float | None = None


class Final(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="final"):
    """The last word on a client's subscription, after all was healed; the end of what it is owed.

    Attributes:
        t: when, seconds.
        client: whose.
        channel: of what.
        head: id of the last accepted publication of the channel, empty if there is none.
        caught_up: whether the client had it before the patience of the run ended.
    """

    t: float
    client: str
    channel: str
    head: str
    caught_up: bool


class Note(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="note"):
    """Anything worth reading later; judged by nobody.

    Attributes:
        t: when, seconds.
        text: in words.
    """

    t: float
    text: str


class End(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="end"):
    """The last line of a file that was closed in order: without it something may be missing.

    Attributes:
        t: when, seconds.
    """

    t: float


Record = (
    Run
    | Phase
    | Client
    | Published
    | Session
    | Subscribed
    | Unsubscribed
    | Delivered
    | FaultChanged
    | Rebalance
    | Sample
    | Final
    | Note
    | End
)
