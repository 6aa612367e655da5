"""What the catalog says, kept in memory: nodes, plans and who leads. Whoever decides, reads it here.

It is as old as the last word of the catalog: `check` tells whether that is recent enough to be passed on.
"""

from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

import structlog
import trio

from coordinator import members
from coordinator.catalog.interface import (
    Catalog,
    CaughtUp,
    Event,
    LeaderSeen,
    NodeGone,
    NodeSeen,
    PlanGone,
    PlanSeen,
)
from coordinator.errors import Unavailable
from coordinator.members import View
from protos.catalog_pb2 import Leader, NodeReport, Plan

log = structlog.get_logger(__name__)


class Written(NamedTuple):
    """A plan as it stands in the catalog, and its version there."""

    plan: Plan
    version: int


class Mirror:
    """See the module.

    Args:
        catalog: followed by `run`.
        contact_max_s: how long the catalog may be silent before its news is old, seconds.
        ttl_s: a node that was silent for so long is gone, whatever the catalog still holds.
        clock: monotonic seconds.

    Attributes:
        view: the nodes.
        plans: by id; not to be changed.
        leader: None while nobody leads.
        revision: counts the changes.
    """

    def __init__(
        self,
        catalog: Catalog,
        contact_max_s: float,
        ttl_s: float,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._catalog = catalog
        self._contact_max_s = contact_max_s
        self._ttl_s = ttl_s
        self._clock = clock
        self._caught_up = False
        self._changed = trio.Event()
        self.view = View()
        self.plans: dict[str, Written] = {}
        self.leader: Leader | None = None
        self.revision = 0

    async def run(self) -> None:
        """Follow the catalog until cancelled."""
        async with aclosing(self._catalog.watch()) as events:  # type: ignore[type-var]
            async for event in events:
                self._take(event)
                self._wake()

    @property
    def contact_s(self) -> float:
        """Seconds since the catalog last answered."""
        return self._catalog.contact_s

    @property
    def failure(self) -> str:
        """Why the catalog does not answer, "" while it does."""
        return self._catalog.failure

    def check(self) -> None:
        """Return if what is here is recent enough to be passed on.

        Raises:
            Unavailable: the catalog is out of reach, or has not told everything yet.
        """
        if not self._caught_up:
            raise Unavailable("the catalog was not read yet; is it there? ask again in a moment")
        silent_s = self._catalog.contact_s
        if silent_s > self._contact_max_s:
            raise Unavailable(
                f"the catalog has been out of reach for {silent_s:.0f} s; ask another coordinator"
            )

    @property
    def usable(self) -> bool:
        """Whether `check` would pass."""
        return self._caught_up and self._catalog.contact_s <= self._contact_max_s

    def living(self) -> list[NodeReport]:
        """The nodes that are alive, by name."""
        return members.living(self.view, self._clock(), self._ttl_s)

    def all_plans(self) -> list[Plan]:
        """Every plan of the catalog, oldest first."""
        plans = [written.plan for written in self.plans.values()]
        return sorted(plans, key=lambda plan: (plan.requested_at, plan.id))

    def wrote(self, plan: Plan, version: int) -> None:
        """Take over what this process has just written, before the catalog repeats it.

        Args:
            plan: what was written; not to be changed any more.
            version: that it has now.
        """
        self._take(PlanSeen(plan, version))
        self._wake()

    def carried_on(self, plan: Plan) -> None:
        """Take over a plan as this process has carried it on, without a write: its version is what it was.

        Args:
            plan: one of `plans`; not to be changed any more.
        """
        self.plans[plan.id] = self.plans[plan.id]._replace(plan=plan)
        self._wake()

    async def wait(self, revision: int, limit_s: float) -> None:
        """Return when something has changed since this revision, or after a time.

        Args:
            revision: that the caller has seen.
            limit_s: seconds to wait at most.
        """
        with trio.move_on_after(limit_s):
            while self.revision == revision:
                await self._changed.wait()

    def _wake(self) -> None:
        self.revision += 1
        self._changed.set()
        self._changed = trio.Event()

    def _take(self, event: Event) -> None:
        match event:
            case NodeSeen(report):
                _note(self.view, report)
                self.view = members.seen(self.view, report, self._clock())
            case NodeGone(name):
                log.info("node gone", name=name)
                self.view = members.gone(self.view, name)
            case PlanSeen(plan, version):
                known = self.plans.get(plan.id)
                # The catalog repeats late what was written from here.
                if known is None or known.version < version:
                    self.plans[plan.id] = Written(plan, version)
            case PlanGone(plan_id):
                self.plans.pop(plan_id, None)
            case LeaderSeen(leader):
                self.leader = leader
            case CaughtUp():
                self._caught_up = True


def _note(view: View, report: NodeReport) -> None:
    """Log what people would look for: a node that came, restarted, or changed its state."""
    known = view.members.get(report.name)
    before = known.report if known else None
    if before and _what_changes(before) == _what_changes(report):
        return
    log.info(
        "node seen" if before is None or before.instance != report.instance else "node changed",
        name=report.name,
        instance=report.instance,
        state=NodeReport.State.Name(report.state),
        reason=report.reason,
    )


def _what_changes(report: NodeReport) -> tuple[object, ...]:
    # The reason of a node that is cut off counts the seconds.
    reason = "" if report.broker_outage else report.reason
    return report.instance, report.state, report.broker_outage, reason
