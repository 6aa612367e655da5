"""Leads, if nobody else does, and has the plans carried on while it leads.

A leader that could not renew its term for its time to live stops in the middle of whatever it does. The next
one finds everything it needs in the catalog.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from coordinator.catalog.interface import Catalog, CatalogError, CatalogUnavailable, Term
from coordinator.errors import Unavailable
from coordinator.leading import Leading
from coordinator.mirror import Mirror
from coordinator.settings import PlanSettings
from coordinator.telemetry import Telemetry

log = structlog.get_logger(__name__)

# Renewals per time to live: two may fail.
_RENEWALS = 3
_RESIGN_S = 1.0


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How a coordinator leads.

    Attributes:
        name: of this coordinator.
        url: where its HTTP port is reached.
        leader_ttl_s: a leader that was silent for so long is replaced.
        tick_s: between two steps of the plans.
        plans_kept: ended plans that are kept to be looked at.
    """

    name: str
    url: str
    leader_ttl_s: float = 5.0
    tick_s: float = 0.5
    plans_kept: int = 50


class Control:
    """See the module.

    Args:
        catalog: written to.
        mirror: read from.
        settings: how it leads.
        plan_settings: what plans reckon with.
        telemetry: what is written and fails is counted there.
        clock: monotonic seconds.
        unix: the time of day, to be shown to people.

    Attributes:
        fence: of the term; None while another one leads.
    """

    def __init__(
        self,
        catalog: Catalog,
        mirror: Mirror,
        settings: ControlSettings,
        plan_settings: PlanSettings,
        telemetry: Telemetry,
        clock: Callable[[], float] = trio.current_time,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._mirror = mirror
        self._settings = settings
        self._plan_settings = plan_settings
        self._telemetry = telemetry
        self._clock = clock
        self._unix = unix
        self.fence: int | None = None

    async def run(self) -> None:
        """Try to lead, and lead, until cancelled."""
        while True:
            if self._mirror.usable and (term := await self._elected()):
                await self._lead(term)
            await trio.sleep(self._settings.tick_s)
            await self._leaderless()

    async def _leaderless(self) -> None:
        """Return when nobody seems to lead; also after a while, since what was seen may be wrong."""
        with trio.move_on_after(self._settings.leader_ttl_s / _RENEWALS):
            while self._mirror.leader is not None:
                await self._mirror.wait(self._mirror.revision, self._settings.leader_ttl_s)

    async def _elected(self) -> tuple[Term, float] | None:
        """A new term and the moment from which it is sure to be ours, None if another one leads."""
        began = trio.current_time()
        try:
            term = await self._catalog.lead(self._settings.name, self._settings.url)
        except CatalogError as error:
            self._failed("cannot try to lead", error)
            return None
        return (term, began) if term else None

    async def _lead(self, elected: tuple[Term, float]) -> None:
        term, began = elected
        self.fence = term.fence
        log.info("leading", fence=term.fence)
        try:
            with trio.CancelScope(deadline=began + self._settings.leader_ttl_s) as leading:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._renew, term, leading)
                    nursery.start_soon(self._carry_on, term.fence)
        finally:
            self.fence = None
            log.info("not leading any more", fence=term.fence)
            with trio.move_on_after(_RESIGN_S, shield=True):
                try:
                    await term.resign()
                except CatalogError as error:
                    self._failed("cannot resign", error)

    async def _renew(self, term: Term, leading: trio.CancelScope) -> None:
        """Keep the term; what ends it is the deadline of `leading`, which every renewal moves."""
        while True:
            await trio.sleep(self._settings.leader_ttl_s / _RENEWALS)
            began = trio.current_time()
            try:
                if not await term.renew():
                    log.warning("another coordinator leads", fence=term.fence)
                    leading.cancel()
                    return
            except CatalogUnavailable as error:
                self._failed("cannot renew the term", error)
            else:
                leading.deadline = began + self._settings.leader_ttl_s

    async def _carry_on(self, fence: int) -> None:
        work = Leading(
            self._catalog,
            self._mirror,
            self._plan_settings,
            self._settings.plans_kept,
            self._telemetry,
            fence,
            clock=self._clock,
            unix=self._unix,
        )
        while True:
            began = trio.current_time()
            try:
                self._mirror.check()
            except Unavailable as error:
                log.warning("plans are held", reason=str(error), rate_limited=True)
            else:
                await work.tick()
            await trio.sleep_until(began + self._settings.tick_s)

    def _failed(self, what: str, error: CatalogError) -> None:
        kind = type(error).__name__
        self._telemetry.catalog_errors[kind] += 1
        log.warning(what, reason=str(error), rate_limited=kind)
