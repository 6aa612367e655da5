"""What a node asks of the catalog: that the coordinators know of it, and that it hears what they order.

The catalog is never needed to serve: without it a node goes on, and registers again when it is back.
Keys and values are those of protos/catalog.proto.
"""

from collections.abc import Callable
from typing import Protocol

from protos.catalog_pb2 import NodeReport, Order


class Catalog(Protocol):
    """The node's side of the catalog.

    Attributes:
        failures: reports and reads that failed, for the metric.
    """

    failures: int

    async def run(self, report: Callable[[], NodeReport], obey: Callable[[Order], None]) -> None:
        """Report every `report_interval_s` and hand over orders, until cancelled; never raises.

        Args:
            report: what to write now. Its entry vanishes when the node is silent for `ttl_s`.
            obey: called with every order to this node that is seen, the one found at the start included; the
                caller judges instance, fence and number. Must not block.
        """

    def changed(self) -> None:
        """The state changed: report at once."""

    async def leave(self) -> None:
        """Take the node's entry out; a failure is logged. Called when `run` has been cancelled."""
