"""What a leader does in every tick of its term: carries the plans on and writes down what they decide.

The decisions are those of the pure plans. Plans are written by compare-and-set, orders with the fence of the
term and a number. All of this is forgotten with the term, since the next leader knows none of it either.
"""

from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex

import structlog
import trio

from coordinator.catalog.interface import Catalog, CatalogError, Conflict
from coordinator.drain_plan import Refusal
from coordinator.members import Kind
from coordinator.mirror import Mirror, Written
from coordinator.pace import Pace
from coordinator.plans import ENDED, step
from coordinator.rebalance_plan import plan_rebalance, wanted
from coordinator.settings import PlanSettings
from coordinator.telemetry import Telemetry
from protos.catalog_pb2 import Order, Plan
from protos.coordinator_pb2 import RebalanceRequest

log = structlog.get_logger(__name__)

_NOWHERE = Written(Plan(), 0)
# A plan whose states stay as they are is written so often: what it counts is nothing to lose a write on.
_WRITE_INTERVAL_S = 1.0


class Leading:
    """See the module.

    Args:
        catalog: written to.
        mirror: read from.
        settings: what plans reckon with.
        plans_kept: ended plans that are kept to be looked at.
        telemetry: what is written and fails is counted there.
        fence: of the term.
        clock: monotonic seconds.
        unix: the time of day, to be shown to people.
    """

    def __init__(
        self,
        catalog: Catalog,
        mirror: Mirror,
        settings: PlanSettings,
        plans_kept: int,
        telemetry: Telemetry,
        fence: int,
        *,
        clock: Callable[[], float],
        unix: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._mirror = mirror
        self._settings = settings
        self._plans_kept = plans_kept
        self._telemetry = telemetry
        self._fence = fence
        self._clock = clock
        self._unix = unix
        self._pace: Mapping[Kind, Pace] = {}
        # Nodes that may have an order in the catalog; those of earlier terms are found in the first tick.
        self._ordered: set[str] | None = None
        self._number = 0
        self._even_since = clock()
        # By plan, when it was written in this term.
        self._written_at: dict[str, float] = {}

    async def tick(self) -> None:
        """One step: decide, then write. What cannot be written now is decided anew in the next tick.

        Cancellation leaves some of it unwritten, which is no harm either.
        """
        before = dict(self._mirror.plans)
        plans = self._mirror.all_plans()
        stepped = step(plans, self._mirror.view, self._clock(), self._settings, self._pace, self._unix())
        self._pace = stepped.pace
        changed = []
        for plan in stepped.plans:
            known = before.get(plan.id, _NOWHERE).plan
            if plan != known and self._may_wait(plan, known):
                self._mirror.carried_on(plan)
            elif plan != known:
                changed.append(plan)
        if rebalance := self._rebalance(stepped.plans):
            changed.append(rebalance)
        refused: set[str] = set()
        async with trio.open_nursery() as nursery:
            for plan in changed:
                nursery.start_soon(self._write_plan, plan, before.get(plan.id, _NOWHERE), refused)
        # An order is only as good as its plan: somebody else has just changed the others.
        orders = [order for order in stepped.orders if order.plan_id not in refused]
        over = self._over({order.node for order in stepped.orders})
        async with trio.open_nursery() as nursery:
            for order in orders:
                nursery.start_soon(self._write_order, order)
            for node in over:
                nursery.start_soon(self._clear_order, node)
            for plan in self._forgotten():
                nursery.start_soon(self._remove_plan, plan)

    def _rebalance(self, plans: Sequence[Plan]) -> Plan | None:
        """A plan that nobody asked for, if load should be evened out and it is switched on."""
        now = self._clock()
        if any(plan.kind == Plan.REBALANCE and plan.state not in ENDED for plan in plans):
            self._even_since = now
        if not wanted(self._mirror.view, plans, self._settings, now, now - self._even_since):
            return None
        plan = plan_rebalance(RebalanceRequest(), token_hex(8), self._mirror.view, plans, now, self._settings)
        if isinstance(plan, Refusal):
            return None
        plan.requested_at = self._unix()
        return plan

    def _may_wait(self, plan: Plan, known: Plan) -> bool:
        """Whether nothing but counts and times has changed since it was written, a moment ago."""
        written_at = self._written_at.get(plan.id, float("-inf"))
        return _states(plan) == _states(known) and self._clock() - written_at < _WRITE_INTERVAL_S

    def _over(self, ordered: set[str]) -> set[str]:
        """Nodes whose order is over, and remembers those that have one."""
        known = self._ordered
        if known is None:
            known = {report.name for report in self._mirror.living()}
        self._ordered = ordered | (known - ordered)
        return known - ordered

    def _forgotten(self) -> list[Plan]:
        """Ended plans beyond those that are kept, in the order in which their ends were written."""
        ended = [written for written in self._mirror.plans.values() if written.plan.state in ENDED]
        ended.sort(key=lambda written: written.version)
        return [written.plan for written in ended[: max(0, len(ended) - self._plans_kept)]]

    async def _write_plan(self, plan: Plan, before: Written, refused: set[str]) -> None:
        plan.fence = self._fence
        try:
            version = await self._catalog.put_plan(plan, before.version)
        except Conflict:
            refused.add(plan.id)
            log.info("somebody else changed a plan", plan=plan.id)
            return
        except CatalogError as error:
            refused.add(plan.id)
            self._failed("cannot write a plan", error)
            return
        self._mirror.wrote(plan, version)
        self._written_at[plan.id] = self._clock()
        if plan.state == before.plan.state and before.version:
            return
        state = Plan.State.Name(plan.state)
        log.info("plan", plan=plan.id, kind=Plan.Kind.Name(plan.kind), state=state, note=plan.note)
        if plan.state in ENDED:
            self._telemetry.plans_ended[state] += 1

    async def _write_order(self, order: Order) -> None:
        self._number += 1
        order.fence, order.number = self._fence, self._number
        try:
            await self._catalog.put_order(order)
        except CatalogError as error:
            self._failed("cannot write an order", error)
            return
        self._telemetry.orders[Order.Action.Name(order.action)] += 1

    async def _clear_order(self, node: str) -> None:
        try:
            await self._catalog.clear_order(node)
        except CatalogError as error:
            self._failed("cannot clear an order", error)
            return
        if self._ordered is not None:
            self._ordered.discard(node)

    async def _remove_plan(self, plan: Plan) -> None:
        try:
            await self._catalog.remove_plan(plan.id)
        except CatalogError as error:
            self._failed("cannot remove a plan", error)
            return
        self._written_at.pop(plan.id, None)

    def _failed(self, what: str, error: CatalogError) -> None:
        kind = type(error).__name__
        self._telemetry.catalog_errors[kind] += 1
        log.warning(what, reason=str(error), rate_limited=kind)


def _states(plan: Plan) -> list[int]:
    return [plan.state, *(step.state for step in plan.steps)]
