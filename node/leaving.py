"""Sends sessions away as `drain` decides: who goes, and that everything queued for them goes first.

What is decided here is the order of going; how many go when is decided there. One task, which sleeps while
there is nothing to do.
"""

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Protocol

import structlog
import trio

from node.drain import Batch, Drain, Phase
from node.protocol.reasons import DisconnectReason
from node.sessions import Registered
from protos.catalog_pb2 import Order

# How often the decider is asked while there is something to do.
TICK_S = 0.05
# Sessions closed before other tasks have the loop; each costs some 20 us.
_CLOSED_PER_TURN = 64
# How long a batch waits for publications under way; a hub that never rests would hold it up for ever.
_WRITING_MAX_S = 0.5
# When all that were seen have been sent away, how soon those that came since are looked for.
_LOOK_S = 0.25

log = structlog.get_logger(__name__)


class Hub(Protocol):
    """What this needs of the hub."""

    @property
    def idle(self) -> bool:
        """Whether every publication that came has been written to every outbox."""

    def hasten(self) -> None:
        """Write what could wait a moment longer, too."""


class Leaving:
    """The node's way out of rotation, as a task.

    Args:
        drain: decides.
        sessions: everybody who is here now.
        hub: a client goes between two publications, never in the middle of one.
        reason: what clients are told, given whether the node itself stays.
        cut_off: whether the node is cut off from its broker.
        changed: called when the phase is another one, or the process is to end now.

    Attributes:
        done: set when the process should end: nobody is left, and it was told to.
    """

    def __init__(
        self,
        drain: Drain,
        sessions: Collection[Registered],
        hub: Hub,
        reason: Callable[[bool], DisconnectReason],
        cut_off: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self.done = trio.Event()
        self._drain = drain
        self._sessions = sessions
        self._hub = hub
        self._reason = reason
        self._cut_off = cut_off
        self._changed = changed
        self._parked = trio.lowlevel.ParkingLot()
        self._told = (drain.phase, drain.ends)
        # Who goes next is at the end; made for one way of choosing, and made again when it is used up.
        self._line: list[Registered] = []
        self._line_is_for = Batch(0)
        self._look_at = 0.0

    def obey(self, order: Order) -> None:
        """Take an order of the coordinator; see catalog.interface."""
        cause = self._drain.obey(order, trio.current_time())
        if cause:
            # An order that is found again in the catalog is nothing to wonder about.
            level = log.debug if cause == "number" else log.warning
            level("order refused", reason=cause, plan=order.plan_id, fence=order.fence, rate_limited=cause)
        self._look()

    def stop(self, ends_in_s: float) -> None:
        """Leave because the process was told to end.

        Args:
            ends_in_s: seconds until whoever is left is sent away at once.
        """
        self._drain.stop(ends_in_s, trio.current_time())
        self._look()

    async def run(self) -> None:
        """Send away for ever. Cancellation stops between two sessions."""
        while True:
            busy = self._drain.busy(trio.current_time())
            if not busy or not self._sessions:
                # Who goes next is chosen anew the next time, and until then nobody who has gone is kept.
                self._line, self._line_is_for, self._look_at = [], Batch(0), 0.0
            if not busy:
                await self._parked.park()
            await self._turn()
            await trio.sleep(TICK_S)

    async def _turn(self) -> None:
        if not self._cut_off():
            self._drain.connected(trio.current_time())
        batch = self._drain.due(len(self._sessions), trio.current_time())
        self._look()
        if batch.count:
            await self._send_away(batch)
        if self._drain.phase is Phase.EMPTY and self._drain.ends:
            self.done.set()

    async def _send_away(self, batch: Batch) -> None:
        gone = 0
        written_by = trio.current_time() + _WRITING_MAX_S
        for session in self._choose(batch):
            if gone % _CLOSED_PER_TURN == 0:
                await self._everything_is_written(written_by)
            # Meanwhile it may have gone by itself.
            if not session.closed:
                session.close(self._reason(batch.moves))
                self._drain.sent(1, trio.current_time())
                gone += 1

    async def _everything_is_written(self, by: float) -> None:
        """Return when no publication is half-way to its subscribers, or when the time for that is over."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_at(by):
            while not self._hub.idle:
                self._hub.hasten()
                await trio.lowlevel.checkpoint()

    def _choose(self, batch: Batch) -> list[Registered]:
        now = trio.current_time()
        line_is_for = replace(batch, count=0)
        if line_is_for != self._line_is_for:
            self._line, self._line_is_for, self._look_at = [], line_is_for, now
        if not self._line and now >= self._look_at:
            self._line = _line_of(self._sessions, batch, now)
            self._look_at = now + _LOOK_S
        chosen: list[Registered] = []
        while self._line and len(chosen) < batch.count:
            session = self._line.pop()
            if not session.closed:
                chosen.append(session)
        return chosen

    def _look(self) -> None:
        """Say what has changed, and wake up if there is something to do."""
        told = (self._drain.phase, self._drain.ends)
        if told != self._told:
            self._told = told
            log.info(
                "drain",
                phase=self._drain.phase.name.lower(),
                sessions=len(self._sessions),
                reason=self._drain.reason,
            )
            self._changed()
        if self._drain.busy(trio.current_time()):
            self._parked.unpark()


def _line_of(sessions: Iterable[Registered], batch: Batch, now: float) -> list[Registered]:
    """Those who may go, who goes first at the end."""
    line = [
        session for session in sessions if not session.closed and now - session.opened_at >= batch.age_min_s
    ]
    random.shuffle(line)
    if batch.largest_first:
        line.sort(key=lambda session: len(session.subscriptions))
    return line
