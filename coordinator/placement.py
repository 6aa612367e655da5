"""`/discover`: which node a new client should go to. Pure: the caller hands in time and chance.

A node is drawn by lot, the more likely the more room it has: many coordinators and many clients at once
then spread as the room does, without knowing of each other. What was just handed out counts against a
node's room and against its rate of new sessions until its reports include it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from coordinator.capacity import connect_rate, headroom
from coordinator.drain_plan import leaving
from coordinator.members import View, receivers
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import NodeReport, NodeStep, Plan

# A client that was sent to a node has arrived there, or never will, by the first report later than this.
ARRIVAL_S = 0.75
# So many clients may be sent to a node at once, as seconds of its rate.
BURST_S = 0.5
# Draws from a table before all nodes are looked at.
DRAWS = 8
ALTERNATIVES = 2


class Place(NamedTuple):
    """A node, and where it is reached over the transport that was asked for."""

    node: str
    url: str


class _Node:
    """What is known of one instance, and what was handed out to it."""

    __slots__ = (
        "earlier",
        "free_at",
        "interval_s",
        "lately",
        "number",
        "report",
        "room",
        "turned_at",
        "urls",
    )

    def __init__(self, report: NodeReport, now: float) -> None:
        self.lately = self.earlier = 0
        self.turned_at = self.free_at = now
        self.number = 0
        self.report = report

    def heard(self, report: NodeReport, now: float, settings: PlanSettings) -> None:
        """Hand-outs before the last report but one are in this report, or never came."""
        self.report, self.number = report, report.number
        if now - self.turned_at >= ARRIVAL_S:
            self.earlier, self.lately, self.turned_at = self.lately, 0, now
        self.room = headroom(report)
        self.interval_s = 1 / max(connect_rate(report, settings), 0.001)
        self.urls = {address.transport: address.url for address in report.addresses}

    def left(self) -> int:
        return self.room - self.lately - self.earlier

    def place(self, transport: str) -> Place:
        return Place(self.report.name, self.urls[transport])

    def may_be(self, now: float, paced: bool, taken: Sequence["_Node"]) -> bool:
        return self not in taken and not (paced and self.free_at > now + BURST_S)

    def hand_out(self, now: float) -> None:
        self.lately += 1
        self.free_at = max(self.free_at, now) + self.interval_s


class _Table:
    """Nodes with the room they had when the table was made, summed up for drawing."""

    __slots__ = ("nodes", "sums", "total", "weights")

    def __init__(self, nodes: Sequence[_Node]) -> None:
        self.nodes = [node for node in nodes if node.left() > 0]
        self.weights = [node.left() for node in self.nodes]
        self.sums = list(accumulate(self.weights))
        self.total = self.sums[-1] if self.sums else 0

    def draw(self, now: float, rng: Random, paced: bool, taken: Sequence[_Node]) -> _Node | None:
        """A node by its room now; None if there is none that may be taken.

        A few draws from the table, then, when most of it has been handed out since, one that looks at all.
        """
        for _ in range(DRAWS if self.total else 0):
            index = bisect_right(self.sums, int(rng.random() * self.total))
            node = self.nodes[index]
            if rng.random() * self.weights[index] < node.left() and node.may_be(now, paced, taken):
                return node
        may = [node for node in self.nodes if node.left() > 0 and node.may_be(now, paced, taken)]
        return rng.choices(may, [node.left() for node in may])[0] if may else None


class Placement:
    """Remembers what it handed out lately. `update` whenever view or plans changed, `choose` per client."""

    def __init__(self, settings: PlanSettings) -> None:
        self._settings = settings
        self._nodes: dict[str, _Node] = {}
        # Nodes that stay, of a version that stays; other nodes that stay; nodes that are to leave.
        self._ranks: tuple[list[_Node], ...] = ([], [], [])
        self._tables: dict[str, list[_Table]] = {}

    def update(self, view: View, plans: Sequence[Plan], now: float) -> None:
        """Take in the newest reports and what is planned; the tables are made when next needed.

        Nodes whose turn to leave will come are the last choice: a client sent there would be sent away again.
        While any node leaves, so are those of its version if there is another one, before them: whichever way
        a deploy goes, these are the nodes that it replaces. A node that is cut off from NATS says nothing of
        its version.

        They come into it once the others have been sent what they take per second: a second move is better
        than a refusal. In simulated rolling drains of 10 to 40 nodes it costs a client 1.4 moves instead of
        1.1 to 1.2; with the others only, it was refused 2 to 5 times and away for 4 to 8 s instead of 1.
        """
        leaves = {
            step.instance
            for plan in plans
            if plan.kind == Plan.DRAIN and plan.state in (Plan.REQUESTED, Plan.RUNNING)
            for step in plan.steps
            if step.state not in (NodeStep.DONE, NodeStep.FAILED)
        }
        old = {
            member.report.version
            for member in view.members.values()
            if member.report.instance in leaves or member.report.state == NodeReport.LEAVING
            if not member.report.broker_outage
        }
        nodes: dict[str, _Node] = {}
        self._ranks = ([], [], [])
        for report in receivers(view, now, self._settings.ttl_s, leaving(plans)):
            node = self._nodes.get(report.instance) or _Node(report, now)
            if node.number != report.number or not node.number:
                node.heard(report, now, self._settings)
            nodes[report.instance] = node
            rank = 2 if report.instance in leaves else 1 if report.version in old else 0
            self._ranks[rank].append(node)
        self._nodes = nodes
        self._tables = {}

    def choose(self, transport: str, now: float, rng: Random) -> list[Place]:
        """The best node for one client and up to two others, all different; empty if none has room.

        Only the first counts as handed out. When every node has been sent as many as it can take per second,
        room alone decides: the nodes refuse who is too many, and tell them when to come again.

        Args:
            transport: as in the addresses that nodes report.
            now: monotonic seconds.
            rng: for the lot.
        """
        tables = self._tables.get(transport) or self._make(transport)
        for paced in (True, False):
            for table in tables:
                best = table.draw(now, rng, paced, ())
                if best:
                    best.hand_out(now)
                    return [node.place(transport) for node in self._beside(best, table, now, rng)]
        return []

    def _beside(self, best: _Node, table: _Table, now: float, rng: Random) -> list[_Node]:
        """The best and its alternatives: of the same rank, or there are none."""
        chosen = [best]
        while len(chosen) <= ALTERNATIVES and (node := table.draw(now, rng, False, chosen)):
            chosen.append(node)
        return chosen

    def _make(self, transport: str) -> list[_Table]:
        tables = [_Table([node for node in rank if transport in node.urls]) for rank in self._ranks]
        self._tables[transport] = tables
        return tables
