"""What a coordinator asks of the catalog, and what it is promised.

The catalog holds small values under keys: `nodes/NAME`, `orders/NAME`, `plans/ID`, `leader`; see
protos/catalog.proto. Promises, kept by every implementation and tested by one suite:

1. What `watch` yields is true: first everything there is, then every change, per key in order. A change
   reaches a watcher within a second. States in between may be left out.
2. While the catalog is out of reach, `contact_s` grows and calls raise CatalogUnavailable: never old news as
   new. A watch goes on by itself when it is back, and yields what changed meanwhile, deletions included.
3. At most one coordinator leads at a time, as far as clocks run alike; terms have growing fences.
4. `put_plan` is compare-and-set: of two writers that read the same version one fails with Conflict.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import trio

from protos.catalog_pb2 import Leader, NodeReport, Order, Plan


class CatalogError(Exception):
    """Base of what catalogs raise."""


class CatalogUnavailable(CatalogError):
    """The catalog cannot be reached, or did not answer in time. What was being written may be written."""


class Conflict(CatalogError):
    """Somebody else wrote this key since it was read: read again, decide again."""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node reported."""

    report: NodeReport


@dataclass(frozen=True, slots=True)
class NodeGone:
    """A node took its entry out, or the catalog did because the node was silent for its time to live."""

    name: str


@dataclass(frozen=True, slots=True)
class PlanSeen:
    """A plan is as it says; `version` is for `put_plan`."""

    plan: Plan
    version: int


@dataclass(frozen=True, slots=True)
class PlanGone:
    """A plan was deleted."""

    id: str


@dataclass(frozen=True, slots=True)
class LeaderSeen:
    """Who leads; None: nobody."""

    leader: Leader | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything that was there when the watch (re)started has been yielded."""


Event = NodeSeen | NodeGone | PlanSeen | PlanGone | LeaderSeen | CaughtUp


class Catalog(Protocol):
    """The coordinator's side of the catalog."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connection until cancelled; started at once, not when connected."""

    @property
    def contact_s(self) -> float:
        """Seconds since the catalog last answered; infinite before it ever did."""

    @property
    def failure(self) -> str:
        """Why it does not answer, for operators, with what to do about it; "" while it does."""

    def watch(self) -> AsyncIterator[Event]:
        """Everything there is, CaughtUp, then what changes, for ever; to be closed by the caller."""

    async def put_order(self, order: Order) -> None:
        """Write an order to its node, whatever stood there."""

    async def clear_order(self, node: str) -> None:
        """Take away what a node was ordered; nothing being there is no error."""

    async def put_plan(self, plan: Plan, version: int) -> int:
        """Write a plan; returns its new version.

        Args:
            plan: what to write.
            version: of the plan it was made from, 0 if it must not exist yet.

        Raises:
            Conflict: it has another version now.
        """

    async def remove_plan(self, plan_id: str) -> None:
        """Delete a plan; nothing being there is no error."""

    async def lead(self, name: str, url: str) -> "Term | None":
        """Become the leader if nobody is.

        Args:
            name: of this coordinator.
            url: where its HTTP port is reached.

        Returns:
            The term, None if another one leads.
        """


class Term(Protocol):
    """The time of one leader.

    Attributes:
        fence: higher than that of every term before.
    """

    fence: int

    async def renew(self) -> bool:
        """Lead on; False: the term is over. To be called at least three times per `leader_ttl_s`.

        Who gets CatalogUnavailable for `leader_ttl_s` since the last success began must stop leading.
        """

    async def resign(self) -> None:
        """End the term, so that another can begin at once; being too late is no error."""
