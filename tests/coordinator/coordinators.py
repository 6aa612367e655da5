"""A coordinator without doors: mirror, service and control over a catalog in memory."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import trio

from coordinator.control import Control, ControlSettings
from coordinator.mirror import Mirror
from coordinator.service import Service
from coordinator.settings import PlanSettings
from coordinator.telemetry import Telemetry
from protos.catalog_pb2 import Plan
from protos.coordinator_pb2 import DrainRequest
from tests.fakes.catalog import CatalogStore, FakeCatalog

TTL_S = 5.0


class FakeCoordinator:
    """One coordinator; `run` it in a nursery.

    Attributes:
        scope: cancel it to kill the coordinator.
    """

    def __init__(
        self,
        store: CatalogStore,
        name: str = "one",
        settings: PlanSettings | None = None,
        unix: Callable[[], float] = trio.current_time,
        **control: Any,
    ) -> None:
        self.catalog = FakeCatalog(store)
        self.telemetry = Telemetry(name=name)
        self.mirror = Mirror(self.catalog, TTL_S, TTL_S)
        settings = settings or PlanSettings()
        self.service = Service(self.catalog, self.mirror, settings, self.telemetry, unix=unix)
        self.control = Control(
            self.catalog,
            self.mirror,
            ControlSettings(name=name, url=f"http://{name}:7000", **control),
            settings,
            self.telemetry,
            unix=unix,
        )
        self.scope = trio.CancelScope()

    async def run(self, *, leading: bool = True) -> None:
        with self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.catalog.run)
                nursery.start_soon(self.mirror.run)
                if leading:
                    nursery.start_soon(self.control.run)

    async def until(self, condition: Callable[[], bool], limit_s: float = 120.0) -> None:
        """Wait until the condition holds; it is looked at whenever the mirror changes."""
        with trio.fail_after(limit_s):
            while not condition():
                await self.mirror.wait(self.mirror.revision, 0.5)

    async def ready(self, nodes: int) -> None:
        await self.until(lambda: self.mirror.usable and len(self.mirror.living()) == nodes)

    async def drained(self, *nodes: str, **request: Any) -> Plan:
        """Drain nodes and return the plan as it ended."""
        plan = await self.service.drain(DrainRequest(nodes=nodes, **request))
        return await self.ended(plan.id)

    async def ended(self, plan_id: str, limit_s: float = 300.0) -> Plan:
        latest = Plan()
        with trio.fail_after(limit_s):
            async with aclosing(self.service.watch_plan(plan_id)) as plans:
                async for plan in plans:
                    latest = plan
        return latest
