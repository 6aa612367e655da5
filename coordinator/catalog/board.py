"""What a catalog is known to hold, and who watches it: the part that both implementations share.

The implementation says what it heard; the board works out what changed, drops nodes that are silent for
their time to live, and hands the changes to every watcher. It reads and writes no catalog.
"""

import math
from collections.abc import AsyncGenerator, Callable

import trio

from coordinator.catalog.interface import (
    CaughtUp,
    Event,
    LeaderSeen,
    NodeGone,
    NodeSeen,
    PlanGone,
    PlanSeen,
)
from protos.catalog_pb2 import Leader, NodeReport, Plan

# How often it is looked whose time is over, in a time to live, and after which share of it a look that comes
# late means that this process stood still, so that it was us who heard nothing.
_LOOKS_PER_TTL = 10
_STOOD_STILL = 0.25


class _Watcher:
    """Changes that one watcher has not taken yet: of each key the last."""

    __slots__ = ("pending", "woken")

    def __init__(self) -> None:
        self.pending: dict[tuple[type, str], Event] = {}
        self.woken = trio.Event()

    def put(self, key: tuple[type, str], event: Event) -> None:
        self.pending.pop(key, None)
        self.pending[key] = event
        self.woken.set()


class Board:
    """See the module.

    Args:
        ttl_s: how long a node may be silent, seconds.

    Attributes:
        plans: by id, each with its version.
        leader: who leads, None for nobody.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._nodes: dict[str, NodeReport] = {}
        self._deadlines: dict[str, float] = {}
        self.plans: dict[str, PlanSeen] = {}
        self.leader: Leader | None = None
        self._complete = False
        self._watchers: list[_Watcher] = []

    def node_seen(self, report: NodeReport, *, watched: bool = False) -> None:
        """A node reported.

        Args:
            report: by its number it is told from an older one that comes late.
            watched: the catalog itself tells when the node falls silent; otherwise that is judged here.
        """
        name, known = report.name, self._nodes.get(report.name)
        same = known is not None and known.instance == report.instance
        if same and known is not None and report.number < known.number:
            return
        self._deadlines[name] = math.inf if watched else trio.current_time() + self._ttl_s
        if same and known is not None and report.number == known.number:
            return
        self._nodes[name] = report
        self._tell((NodeSeen, name), NodeSeen(report))

    def node_gone(self, name: str) -> None:
        """A node took its entry out, or the catalog did."""
        if self._nodes.pop(name, None) is not None:
            del self._deadlines[name]
            self._tell((NodeSeen, name), NodeGone(name))

    def node_missing(self, name: str) -> None:
        """A node is not in a catalog that lost something: gone, unless it registers again in time."""
        if name in self._nodes:
            self._deadlines[name] = min(self._deadlines[name], trio.current_time() + self._ttl_s)

    def plan_seen(self, plan: Plan, version: int) -> None:
        """A plan is as it says."""
        known = self.plans.get(plan.id)
        if known is None or known.version != version:
            self.plans[plan.id] = event = PlanSeen(plan, version)
            self._tell((PlanSeen, plan.id), event)

    def plan_gone(self, plan_id: str) -> None:
        """A plan was deleted."""
        if self.plans.pop(plan_id, None) is not None:
            self._tell((PlanSeen, plan_id), PlanGone(plan_id))

    def leader_seen(self, leader: Leader | None) -> None:
        """Who leads; renewals are no news."""
        if _term(leader) != _term(self.leader):
            self._tell((LeaderSeen, ""), LeaderSeen(leader))
        self.leader = leader

    def caught_up(self) -> None:
        """All that there is was said, since the beginning or since contact was lost."""
        self._complete = True
        self._tell((CaughtUp, ""), CaughtUp())

    def fence_above(self, last: int, now_s: float) -> int:
        """The fence of a new term: above every one that is known to have been.

        The last leader's is written in the catalog and would do. But a catalog can be emptied: then nodes
        say which fence they obey, plans which one wrote them, and the clock is above what a term of the past
        began with as long as clocks differ by less than terms last.

        Args:
            last: of the leader before, 0 if nothing is known of one.
            now_s: Unix seconds.
        """
        nodes = (report.fence for report in self._nodes.values())
        plans = (seen.plan.fence for seen in self.plans.values())
        return 1 + max(last, int(now_s), *nodes, *plans)

    async def expire_nodes(self, in_contact: Callable[[], bool]) -> None:
        """Drop nodes that are silent for their time to live: a task of its own.

        Args:
            in_contact: whether the catalog is heard now. While it is not, nobody's time runs.
        """
        interval_s = self._ttl_s / _LOOKS_PER_TTL
        while True:
            began = trio.current_time()
            await trio.sleep(interval_s)
            now = trio.current_time()
            if now - began - interval_s > self._ttl_s * _STOOD_STILL or not in_contact():
                for name, deadline in self._deadlines.items():
                    self._deadlines[name] = max(deadline, now + self._ttl_s)
            for name in [name for name, deadline in self._deadlines.items() if deadline <= now]:
                self.node_gone(name)

    async def watch(self) -> AsyncGenerator[Event, None]:
        """See `Catalog.watch`. States that a slow watcher did not take are left out."""
        watcher = _Watcher()
        for name, report in self._nodes.items():
            watcher.put((NodeSeen, name), NodeSeen(report))
        for plan_id, seen in self.plans.items():
            watcher.put((PlanSeen, plan_id), seen)
        watcher.put((LeaderSeen, ""), LeaderSeen(self.leader))
        if self._complete:
            watcher.put((CaughtUp, ""), CaughtUp())
        self._watchers.append(watcher)
        try:
            while True:
                await watcher.woken.wait()
                watcher.woken = trio.Event()
                while watcher.pending:
                    key = next(iter(watcher.pending))
                    yield watcher.pending.pop(key)
        finally:
            self._watchers.remove(watcher)

    def _tell(self, key: tuple[type, str], event: Event) -> None:
        for watcher in self._watchers:
            watcher.put(key, event)


def _term(leader: Leader | None) -> tuple[str, str, int] | None:
    return None if leader is None else (leader.name, leader.url, leader.fence)
