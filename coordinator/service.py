"""The operations of the coordinator, once, for every door: see, drain, undrain, rebalance, watch, cancel.

Any coordinator takes a request: it writes a plan into the catalog, and the one that leads takes it up.
Nothing is answered from memory that may be old: then it is Unavailable.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from secrets import token_hex
from typing import TypeVar

import structlog
import trio

from coordinator.catalog.interface import Catalog, CatalogUnavailable, Conflict
from coordinator.drain_plan import Refusal, Why, plan_cancel, plan_drain, plan_undrain
from coordinator.errors import InvalidRequest, NotFound, NotPossible, OperationError, Unavailable
from coordinator.mirror import Mirror, Written
from coordinator.plans import ENDED
from coordinator.rebalance_plan import plan_rebalance
from coordinator.settings import PlanSettings
from coordinator.telemetry import Telemetry
from protos.catalog_pb2 import Plan
from protos.coordinator_pb2 import (
    DrainRequest,
    ListNodesResponse,
    RebalanceRequest,
    UndrainRequest,
    UndrainResponse,
)

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_ERRORS: dict[Why, type[OperationError]] = {
    Why.NOT_FOUND: NotFound,
    Why.INVALID_ARGUMENT: InvalidRequest,
    Why.FAILED_PRECONDITION: NotPossible,
}
# At most so often a watcher is told.
_WATCH_INTERVAL_S = 0.5
# How often it is looked whether the catalog is still there, when it says nothing.
_CHECK_INTERVAL_S = 1.0
# What another coordinator wrote is here by then.
_NEWS_S = 1.0
# The leader writes a running plan every second: whoever cancels it may come second a few times.
_CANCEL_ATTEMPTS = 5


class Service:
    """See the module. Every operation raises OperationError, or returns what protos/coordinator.proto says.

    Args:
        catalog: written to.
        mirror: read from.
        settings: what plans reckon with.
        telemetry: calls are counted there.
        clock: monotonic seconds.
        unix: the time of day, to be shown to people.
    """

    def __init__(
        self,
        catalog: Catalog,
        mirror: Mirror,
        settings: PlanSettings,
        telemetry: Telemetry,
        clock: Callable[[], float] = trio.current_time,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._mirror = mirror
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._unix = unix

    def check_contact(self) -> None:
        """Return if this coordinator knows how things are; raises Unavailable, with the cause, otherwise."""
        try:
            self._mirror.check()
        except Unavailable as error:
            # For operators only: what clients are answered says nothing of what is behind it.
            cause = self._mirror.failure
            raise Unavailable(f"{error}: {cause}" if cause else str(error)) from error

    def list_nodes(self) -> ListNodesResponse:
        """Every living node, who leads, and the plans."""
        self._mirror.check()
        plans = self._mirror.all_plans()
        return ListNodesResponse(nodes=self._mirror.living(), leader=self._mirror.leader, plans=plans)

    async def watch_nodes(self) -> AsyncGenerator[ListNodesResponse, None]:
        """The same, again whenever something changed."""
        told = None
        while True:
            revision = self._mirror.revision
            answer = self.list_nodes()
            if answer != told:
                told = answer
                yield answer
                await trio.sleep(_WATCH_INTERVAL_S)
            await self._mirror.wait(revision, _CHECK_INTERVAL_S)

    def plan(self, plan_id: str) -> Plan:
        """One plan as it is."""
        self._mirror.check()
        return self._written(plan_id).plan

    async def watch_plan(self, plan_id: str) -> AsyncGenerator[Plan, None]:
        """A plan now and whenever it changed, until it has ended."""
        await self._await_plan(plan_id)
        told = None
        while True:
            revision = self._mirror.revision
            plan = self.plan(plan_id)
            if plan != told:
                told = plan
                yield plan
            if plan.state in ENDED:
                return
            await self._mirror.wait(revision, _CHECK_INTERVAL_S)

    async def drain(self, request: DrainRequest) -> Plan:
        """Write down that nodes are to be emptied; with `dry_run` only say what would be written."""
        return await self._counted("drain", lambda: self._drain(request))

    async def undrain(self, request: UndrainRequest) -> UndrainResponse:
        """Write down that a node is to take sessions again."""
        return await self._counted("undrain", lambda: self._undrain(request))

    async def rebalance(self, request: RebalanceRequest) -> Plan:
        """Write down that load is to be evened out; with `dry_run` only say what would be written."""
        return await self._counted("rebalance", lambda: self._rebalance(request))

    async def cancel(self, plan_id: str) -> Plan:
        """Write down that a plan is to end."""
        return await self._counted("cancel", lambda: self._cancel(plan_id))

    async def _counted(self, method: str, call: Callable[[], Awaitable[_T]]) -> _T:
        outcome = "ok"
        try:
            return await call()
        except OperationError as error:
            outcome = type(error).__name__
            log.info("call refused", method=method, reason=str(error), rate_limited=outcome)
            raise
        finally:
            self._telemetry.calls[method, outcome] += 1

    async def _drain(self, request: DrainRequest) -> Plan:
        self._mirror.check()
        plan = _possible(
            plan_drain(
                request, _new_id(), self._mirror.view, self._mirror.all_plans(), self._clock(), self._settings
            )
        )
        return plan if request.dry_run else await self._write(plan)

    async def _undrain(self, request: UndrainRequest) -> UndrainResponse:
        self._mirror.check()
        plan = _possible(
            plan_undrain(
                request.node,
                _new_id(),
                self._mirror.view,
                self._mirror.all_plans(),
                self._clock(),
                self._settings,
            )
        )
        await self._write(plan)
        return UndrainResponse()

    async def _rebalance(self, request: RebalanceRequest) -> Plan:
        self._mirror.check()
        plan = _possible(
            plan_rebalance(
                request, _new_id(), self._mirror.view, self._mirror.all_plans(), self._clock(), self._settings
            )
        )
        return plan if request.dry_run else await self._write(plan)

    async def _cancel(self, plan_id: str) -> Plan:
        await self._await_plan(plan_id)
        for _ in range(_CANCEL_ATTEMPTS):
            self._mirror.check()
            revision = self._mirror.revision
            written = self._written(plan_id)
            if written.plan.state == Plan.CANCELLING:
                return written.plan
            try:
                return await self._write(_possible(plan_cancel(written.plan)), written.version)
            except Conflict:
                await self._mirror.wait(revision, _NEWS_S)
        raise Unavailable(f"plan {plan_id} changes faster than it can be cancelled; ask again")

    async def _write(self, plan: Plan, version: int = 0) -> Plan:
        """Write a plan.

        Raises:
            Conflict: it has another version now.
            Unavailable: the catalog did not answer.
        """
        if not version:
            plan.requested_at = self._unix()
        try:
            version = await self._catalog.put_plan(plan, version)
        except CatalogUnavailable as error:
            raise Unavailable(
                f"the catalog did not confirm it ({error}); it may have been written: see the plans"
            ) from error
        self._mirror.wrote(plan, version)
        return plan

    async def _await_plan(self, plan_id: str) -> None:
        """Give a plan that was just written by another coordinator the time to arrive."""
        self._mirror.check()
        until = self._clock() + _NEWS_S
        while plan_id not in self._mirror.plans and self._clock() < until:
            await self._mirror.wait(self._mirror.revision, until - self._clock())
        self._written(plan_id)

    def _written(self, plan_id: str) -> Written:
        written = self._mirror.plans.get(plan_id)
        if written is None:
            raise NotFound(f"there is no plan {plan_id}, or it ended long ago")
        return written


def _new_id() -> str:
    return token_hex(8)


def _possible(plan: Plan | Refusal) -> Plan:
    if isinstance(plan, Refusal):
        raise _ERRORS[plan.why](plan.words)
    return plan
