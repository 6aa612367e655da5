"""Nodes without sockets: they report to a catalog in memory, obey orders, and send clients to one another."""

from dataclasses import dataclass

import trio

from protos.catalog_pb2 import Address, Leaving, Moving, NodeReport, Order
from tests.fakes.catalog import CatalogStore

TICK_S = 0.5


@dataclass
class FleetNode:
    """One node. Its clients come to it and leave it in whole numbers."""

    name: str
    connections: float
    capacity: int = 10_000
    connect_rate_max: float = 500.0
    state: NodeReport.State = NodeReport.SERVING
    order: Order | None = None
    sent: float = 0.0
    arrived: float = 0.0
    number: int = 0
    refused: int = 0
    deaf: bool = False
    on_its_own: bool = False

    @property
    def instance(self) -> str:
        return f"{self.name}-instance"

    def obey(self, order: Order) -> None:
        if self.deaf or order.instance != self.instance:
            return
        known = self.order
        if known is not None and (order.fence, order.number) <= (known.fence, known.number):
            self.refused += order.fence < known.fence
            return
        if known is None or known.plan_id != order.plan_id:
            self.sent = 0.0
        self.order = order
        if order.action == Order.DRAIN:
            self.state = NodeReport.LEAVING
        elif order.action == Order.SERVE:
            self.state = NodeReport.SERVING

    def advance(self, elapsed_s: float, fleet: "Fleet") -> None:
        order = self.order
        left = self.connections
        if order is not None and order.action == Order.MOVE:
            left = min(left, order.count - self.sent)
        elif self.state != NodeReport.LEAVING:
            left = 0.0
        rate = 100.0 if self.on_its_own else (order.rate if order is not None else 0.0)
        going = min(left, rate * elapsed_s)
        self.connections -= going
        self.sent += going
        fleet.spread(going, self)

    def report(self) -> NodeReport:
        self.number += 1
        report = NodeReport(
            name=self.name,
            instance=self.instance,
            number=self.number,
            state=self.state,
            addresses=[Address(transport="websocket", url=f"ws://{self.name}/connection/websocket")],
            connections=round(self.connections),
            capacity=self.capacity,
            connect_rate_max=self.connect_rate_max,
            connect_rate=self.arrived / TICK_S,
        )
        self.arrived = 0.0
        plan_id = self.order.plan_id if self.order is not None else ""
        if self.state == NodeReport.LEAVING:
            phase = Leaving.SENDING if report.connections else Leaving.EMPTY
            report.leaving.CopyFrom(
                Leaving(phase=phase, plan_id=plan_id, sent_away=round(self.sent), on_its_own=self.on_its_own)
            )
        elif self.order is not None and self.order.action == Order.MOVE:
            report.moving.CopyFrom(
                Moving(plan_id=plan_id, sent_away=round(self.sent), count=self.order.count)
            )
        return report


class Fleet:
    """Some nodes of one cluster.

    Args:
        store: where they report.
        *nodes: all of them.
    """

    def __init__(self, store: CatalogStore, *nodes: FleetNode) -> None:
        self.store = store
        self.nodes = {node.name: node for node in nodes}

    async def run(self) -> None:
        while True:
            for node in list(self.nodes.values()):
                if order := self.store.orders.get(node.name):
                    node.obey(order)
                node.advance(TICK_S, self)
                self.store.report(node.report())
            await trio.sleep(TICK_S)

    def spread(self, clients: float, leaving: FleetNode) -> None:
        takers = [
            node for node in self.nodes.values() if node is not leaving and node.state == NodeReport.SERVING
        ]
        for node in takers:
            node.connections += clients / len(takers)
            node.arrived += clients / len(takers)

    @property
    def total(self) -> int:
        return round(sum(node.connections for node in self.nodes.values()))


def three_nodes(store: CatalogStore, clients: int = 600) -> Fleet:
    """Equal nodes."""
    return Fleet(store, *(FleetNode(f"node-{number}", clients) for number in (1, 2, 3)))
