"""What a run does and when: who publishes, who listens, who moves, what breaks.

Pure: a seed gives a schedule. Nothing here knows whether anything of it succeeds. Each part draws from a
stream of chance of its own, so that more clients, or another fault, leave the other parts as they were.
Times are seconds since the load began; nodes are numbers, which the runner maps to those it has.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence

import msgspec

from chaos.history import Role

_SPELL_S = 5.0  # how long a publisher stays with a node


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what; with the seed it decides everything.

    Attributes:
        seed: any number.
        duration_s: how long publishing lasts.
        nodes: how many there are to choose from.
        clients: healthy ones.
        slow_clients: more, that read late.
        transports: what clients use, in turn.
        history_channels: how many of them keep history.
        plain_channels: how many do not.
        channels_per_client: how many a client subscribes to.
        deliveries_per_s: what all clients together receive, on average.
        publishers: how many share the publishing.
        payload_bytes: the smallest and the largest publication.
        moves_per_s: how many clients a second leave by themselves and go elsewhere.
        run: before the number of every channel: on a cluster that outlives the run, the next one would find
            what this one left, and the servers would take its publications for repetitions.
        history_namespace: before the colon of channels that keep history.
        plain_namespace: before the colon of those that do not.
    """

    seed: int
    duration_s: float = 60.0
    nodes: int = 3
    clients: int = 300
    slow_clients: int = 0
    transports: tuple[str, ...] = ("websocket",)
    history_channels: int = 20
    plain_channels: int = 5
    run: str = ""
    channels_per_client: int = 1
    deliveries_per_s: float = 2000.0
    publishers: int = 4
    payload_bytes: tuple[int, int] = (64, 512)
    moves_per_s: float = 1.0
    history_namespace: str = "history"
    plain_namespace: str = "plain"

    def __post_init__(self) -> None:
        """Says what cannot be scheduled.

        Raises:
            ValueError: too few of something.
        """
        channels = self.history_channels + self.plain_channels
        if min(self.nodes, self.clients, self.publishers, channels, len(self.transports)) < 1:
            raise ValueError("a workload needs a node, a client, a publisher, a channel and a transport")
        if not 1 <= self.channels_per_client <= channels:
            raise ValueError(
                f"channels_per_client is {self.channels_per_client}: there are {channels} channels"
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, those with history first."""
        return (
            *(f"{self.history_namespace}:{self.run}{number}" for number in range(self.history_channels)),
            *(f"{self.plain_namespace}:{self.run}{number}" for number in range(self.plain_channels)),
        )

    @property
    def publications_per_s(self) -> float:
        """How often to publish so that clients receive what is asked."""
        subscriptions = (self.clients + self.slow_clients) * self.channels_per_client
        return self.deliveries_per_s * len(self.channels) / subscriptions


class ClientPlan(msgspec.Struct, frozen=True):
    """A client at the start of the run.

    Attributes:
        name: unique in the run.
        transport: which it comes by.
        node: where it connects first.
        channels: what it subscribes to, in order.
        role: how it behaves.
    """

    name: str
    transport: str
    node: int
    channels: tuple[str, ...]
    role: Role


class Publication(msgspec.Struct, frozen=True):
    """One thing to publish.

    Attributes:
        at_s: when; later if the publisher still waits for an answer in this channel.
        publisher: who.
        id: what; to be carried in the data and used as the idempotency key.
        channel: where to.
        node: through which.
        payload_bytes: how long the data should be.
    """

    at_s: float
    publisher: str
    id: str
    channel: str
    node: int
    payload_bytes: int


class Move(msgspec.Struct, frozen=True):
    """A client leaves by itself and comes back elsewhere, from the position it has.

    Attributes:
        at_s: when.
        client: who.
        transport: which it comes back by.
        node: where to.
    """

    at_s: float
    client: str
    transport: str
    node: int


class FaultKind(msgspec.Struct, frozen=True):
    """A fault that a mixed run may choose.

    Attributes:
        name: the fault's.
        targets: what it may hit; one is drawn. A fault without a target has one empty name.
        weight: how often it is chosen, relative to others.
        holds_s: the shortest and the longest time it stays in force, once it has been brought about.
        after_s: seconds at least since the one before was healed.
        shows: the verdict that has nothing to judge unless a fault that shows it is chosen; "" for none.
    """

    name: str
    targets: tuple[str, ...] = ("",)
    weight: float = 1.0
    holds_s: tuple[float, float] = (1.0, 8.0)
    after_s: float = 0.0
    shows: str = ""


class FaultPlan(msgspec.Struct, frozen=True):
    """A fault of the schedule.

    Attributes:
        inject_s: when it begins.
        heal_s: when it is healed.
        name: the fault's.
        target: what it hits.
        after_s: seconds at least since the one before was healed, even if that was late.
    """

    inject_s: float
    heal_s: float
    name: str
    target: str
    after_s: float


def _chance(workload: Workload, part: str) -> random.Random:
    return random.Random(f"{workload.seed}/{part}")  # noqa: S311  schedules have to repeat, not to be secret


def clients(workload: Workload) -> list[ClientPlan]:
    """Everybody who listens: transports and channels evenly, nodes by chance."""
    chance = _chance(workload, "clients")
    channels = workload.channels
    roles: list[tuple[str, Role]] = [("client", "healthy")] * workload.clients
    roles += [("slow", "slow")] * workload.slow_clients
    plans = []
    for number, (prefix, role) in enumerate(roles):
        first = number * workload.channels_per_client
        plans.append(
            ClientPlan(
                f"{prefix}-{number}",
                # A channel's clients are every so many: else they could share a transport.
                workload.transports[(number + number // len(channels)) % len(workload.transports)],
                chance.randrange(workload.nodes),
                tuple(channels[(first + at) % len(channels)] for at in range(workload.channels_per_client)),
                role,
            )
        )
    return plans


def publications(workload: Workload) -> Iterator[Publication]:
    """Everything to publish, by time: each publisher keeps its share of the rate, unevenly."""
    return heapq.merge(
        *(_publisher(workload, f"publisher-{number}") for number in range(workload.publishers)),
        key=lambda publication: publication.at_s,
    )


def _publisher(workload: Workload, name: str) -> Iterator[Publication]:
    chance = _chance(workload, name)
    every_s = workload.publishers / workload.publications_per_s
    channels = workload.channels
    low, high = workload.payload_bytes
    node, stays_until = 0, -math.inf
    for number in range(int(workload.duration_s / every_s)):
        at_s = (number + chance.random()) * every_s  # each within its own slice: never out of order
        if at_s >= stays_until:
            node, stays_until = chance.randrange(workload.nodes), at_s + _SPELL_S
        channel = channels[chance.randrange(len(channels))]
        yield Publication(at_s, name, f"{name}-{number}", channel, node, chance.randint(low, high))


def moves(workload: Workload) -> Iterator[Move]:
    """Who goes where by itself, by time; only healthy clients do."""
    chance = _chance(workload, "moves")
    at_s = 0.0
    while workload.moves_per_s:
        at_s += chance.expovariate(workload.moves_per_s)
        if at_s >= workload.duration_s:
            return
        client = f"client-{chance.randrange(workload.clients)}"
        transport = workload.transports[chance.randrange(len(workload.transports))]
        yield Move(at_s, client, transport, chance.randrange(workload.nodes))


def faults(
    workload: Workload, kinds: Sequence[FaultKind], *, quiet: float = 0.25, apart_s: float = 3.0
) -> list[FaultPlan]:
    """A shifting mix of faults, one after another, with quiet times between; by time.

    It begins with one fault for every verdict that the kinds show, so that no seed leaves one without.

    Args:
        workload: for how long, and the seed.
        kinds: what to choose from.
        quiet: the share of turns in which nothing happens.
        apart_s: seconds from the healing of one to the next, so that what follows from which can be seen.

    Raises:
        ValueError: there is no time for what the verdicts need.
    """
    chance = _chance(workload, "faults")
    needed = list(dict.fromkeys(kind.shows for kind in kinds if kind.shows))
    chance.shuffle(needed)
    plans: list[FaultPlan] = []
    at_s, healed_s = apart_s, -math.inf
    while kinds:
        choice = [kind for kind in kinds if kind.shows == needed[0]] if needed else kinds
        kind = chance.choices(choice, [kind.weight for kind in choice])[0]
        holds_s = chance.uniform(*kind.holds_s)
        target = kind.targets[chance.randrange(len(kind.targets))]
        after_s = max(kind.after_s, apart_s)
        at_s = max(at_s, healed_s + after_s)
        if at_s + holds_s + apart_s > workload.duration_s:
            break
        if needed or chance.random() >= quiet:
            healed_s = at_s + holds_s
            plans.append(FaultPlan(at_s, healed_s, kind.name, target, after_s))
        del needed[:1]
        at_s += holds_s + apart_s * (1 + chance.random())
    if needed:
        raise ValueError(
            f"{workload.duration_s:g} s are too short for a fault that shows {needed[0]}:"
            f" with this seed that needs {at_s + holds_s + apart_s:.0f} s, and other verdicts may need more"
        )
    return plans
