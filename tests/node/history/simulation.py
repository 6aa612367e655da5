"""A small cluster under faults, from one seed: clients move between nodes with their positions.

Safety is checked with every publication a client gets; afterwards everything heals and every client must
have everything. Used by test_simulation; run by itself it searches seeds for a violation:
`python -m tests.node.history.simulation 0 10000`.
"""

import random
import sys
from dataclasses import dataclass

import trio
import trio.testing
from trio._core import _run as scheduler

from node.broker.interface import BrokerError, HistoryOptions, Message
from node.config.options import Duration, HistoryRunOptions
from tests.fakes.broker import FakeBroker
from tests.fakes.clients import RecordingClient, Violation
from tests.fakes.cluster import FakeNode, history_options
from tests.fakes.store import Store

_CHANNELS = ("a", "b")
_CHAOS_S = 12.0
_HEAL_S = 30.0
_HISTORY = HistoryOptions(1, 1, 1)


@dataclass(slots=True)
class Outcome:
    """What a run did, so that a test can see that it did something."""

    accepted: int = 0
    delivered: int = 0
    recovered: int = 0
    not_recovered: int = 0
    lost: int = 0
    refused: int = 0
    repaired: int = 0


class Simulation:
    """One run.

    Args:
        seed: decides everything.
        gentle: nothing is ever removed from the store and its sequence never changes; then every
            recovery must succeed and nobody may be told that something is missing.
    """

    def __init__(self, seed: int, *, gentle: bool = False) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._gentle = gentle
        self.outcome = Outcome()
        size = 100_000 if gentle else self._random.choice((1, 3, 20))
        # Messages that expire before a lost copy of them is noticed.
        self._fleeting = not gentle and self._random.random() < 0.4
        meta_ttl_s = self._random.choice((0.7, 2.0)) if self._fleeting else 1e9
        self._store = Store(size, meta_ttl_s)
        peers: list[FakeBroker] = []
        run_options = HistoryRunOptions(
            tail_size=self._random.choice((2, 10, 300)),
            tail_bytes_max=1_000_000 if gentle else self._random.choice((1500, 1_000_000)),
            check_interval_s=Duration(5),
            check_batch=self._random.choice((1, 500)),
        )
        self._nodes = [
            FakeNode(
                self._store,
                peers,
                seed=self._random.getrandbits(32),
                options=history_options(size, min(meta_ttl_s, 1e6), meta_ttl_s),
                run_options=run_options,
                recovery_limit=100_000 if gentle else self._random.choice((2, 300)),
            )
            for _ in range(3)
        ]
        self._healing = False
        self._published = 0
        self._clients: list[RecordingClient] = []

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            Violation: a promise was broken.
        """
        # Trio shuffles its tasks with a generator of its own, and has no public way to seed it.
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
        scheduler._r.seed(self._seed)
        try:
            trio.run(self._main, clock=trio.testing.MockClock(autojump_threshold=0))
        except BaseExceptionGroup as group:
            violations, others = group.split(Violation)
            if violations is None or others is not None:
                raise
            raise _first(violations) from group
        return self.outcome

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                await nursery.start(node.run)
            for node in self._nodes:
                self._worsen(node.broker)
            with trio.move_on_after(_CHAOS_S + _HEAL_S):
                async with trio.open_nursery() as actors:
                    for number in range(6):
                        client = RecordingClient(_CHANNELS[number % 2], self._store, tracked=number != 5)
                        self._clients.append(client)
                        actors.start_soon(self._live, client)
                    actors.start_soon(self._publish)
                    actors.start_soon(self._disturb)
                    await trio.sleep(_CHAOS_S)
                    self._heal()
            self._check_end()
            nursery.cancel_scope.cancel()

    # --- what happens ---------------------------------------------------------------------------

    async def _publish(self) -> None:
        pause_s = self._random.choice((0.3, 1.0) if self._fleeting else (0.005, 0.05, 0.5))
        while not self._healing:
            await trio.sleep(self._random.expovariate(1 / pause_s))
            self._published += 1
            channel = self._random.choice(_CHANNELS)
            broker = self._random.choice(self._nodes).broker
            try:
                if not self._gentle and self._random.random() < 0.01:
                    await broker.remove_history(channel)
                else:
                    await broker.publish(channel, Message(b"%d" % self._published), _HISTORY)
                    self.outcome.accepted += 1
            except BrokerError:
                pass

    async def _live(self, client: RecordingClient) -> None:
        """Join somewhere, stay, leave or get lost, and come back with the position."""
        while True:
            node = self._random.choice(self._nodes)
            subscription = client.subscribe()
            since = client.position if self._random.random() < 0.9 else None
            asked = since is not None and client.tracked
            try:
                with trio.fail_after(self._random.choice((0.01, 4.0))):
                    joined = await node.channels.join(subscription, since if asked else None)
            except (BrokerError, trio.TooSlowError):
                self.outcome.refused += 1
                await trio.sleep(self._random.uniform(0, 0.5))
                continue
            self.outcome.recovered += joined.recovered
            self.outcome.not_recovered += asked and not joined.recovered
            if self._gentle and asked and not joined.recovered:
                raise Violation(f"not recovered from {since}, top {joined.top}: nothing was removed")
            client.joined(joined)
            with trio.move_on_after(self._random.expovariate(1 / 2.0)):
                await client.told.wait()
            if self._healing:
                await client.told.wait()
            self.outcome.lost += client.lost
            if self._gentle and client.lost:
                raise Violation("told to subscribe again, though nothing was removed")
            node.channels.leave(subscription)
            await trio.sleep(self._random.choice((0, 0, 0.3, 2)))

    async def _disturb(self) -> None:
        while True:
            await trio.sleep(self._random.expovariate(2))
            if self._healing:
                return
            broker = self._random.choice(self._nodes).broker
            match self._random.randrange(6):
                case 0:
                    broker.break_feed()
                case 1 | 2:
                    broker.restore_feed()
                case 3:
                    self._worsen(broker)
                case 4:
                    self._store.lag_s = self._random.choice((0, 0.03, 0.4))
                case 5 if not self._gentle and self._random.random() < 0.3:
                    self._lose_store()

    def _lose_store(self) -> None:
        """The sequence begins again; the brokers learn it with their next answer or live copy."""
        if self._random.random() < 0.5:
            for node in self._nodes:
                node.broker.break_feed()
        self._store.lose()

    def _worsen(self, broker: FakeBroker) -> None:
        choice = self._random.choice
        broker.drop = choice((0, 0, 0.02, 0.3, 1))
        broker.double = choice((0, 0.1, 1))
        broker.delay_s = choice((0, 0.002, 0.1))
        broker.latency_s = choice((0, 0.002, 0.1))
        broker.lagging = choice((0, 0.5, 1))
        broker.fail = choice((0, 0, 0.1))
        broker.deadline_s = 1.0

    def _heal(self) -> None:
        self._healing = True
        self._store.lag_s = 0
        for node in self._nodes:
            broker = node.broker
            broker.drop = broker.double = broker.delay_s = broker.lagging = broker.fail = 0
            broker.restore_feed()

    def _check_end(self) -> None:
        for client in self._clients:
            self.outcome.delivered += len(client.received)
            if client.lost or (client.tracked and client.behind()):
                raise Violation(f"healed, and still without {client.behind()}")
        for node in self._nodes:
            self.outcome.repaired += node.metrics.gap_repairs["repaired"]


def _first(group: BaseExceptionGroup) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def search(first: int, last: int) -> None:
    """Run seeds until one fails, and say which."""
    for seed in range(first, last):
        for gentle in (False, True):
            try:
                Simulation(seed, gentle=gentle).run()
            except BaseException:
                sys.stderr.write(f"seed {seed}, gentle {gentle}\n")
                raise


if __name__ == "__main__":
    search(int(sys.argv[1]), int(sys.argv[2]))
