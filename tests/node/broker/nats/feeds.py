"""A running feed that records what happens to it, for the tests of this package; no test lives here."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from node.broker.nats.feed import Feed
from node.config.options import NatsOptions
from tests.patience import PATIENCE_S


class Watched:
    """A feed and the calls of its callbacks, in order."""

    def __init__(self, options: NatsOptions, seed: int = 1) -> None:
        self.calls: list[str] = []
        self.changed = trio.Event()
        self.feed = Feed(
            options,
            name="test",
            on_broken=lambda: self._note("broken"),
            on_restored=lambda: self._note("restored"),
            rng=random.Random(seed),
        )

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.changed.set()
        self.changed = trio.Event()

    async def calls_are(self, *expected: str) -> None:
        """Wait until exactly these calls were made."""
        while len(self.calls) < len(expected):
            await self.changed.wait()
        assert self.calls == list(expected)


def nats_options(url: str, **more: object) -> NatsOptions:
    """Options for tests: quick to reconnect."""
    return NatsOptions(url=url, **{"reconnect_delay_max_s": 0.1, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def running(options: NatsOptions) -> AsyncIterator[Watched]:
    """A feed that runs until the block is left, which must not take longer than PATIENCE_S."""
    watched = Watched(options)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(watched.feed.run)
            yield watched
            nursery.cancel_scope.cancel()
