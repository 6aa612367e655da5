"""A simulated cluster: nodes, clients that come back like SDKs do, a load balancer or `/discover`, a
coordinator.

Everything that travels takes its time: a report 0.3 s to the coordinator, an order 0.3 s to its node, a
client that was sent away half a second to one second until it connects again, one that was refused one to
two seconds. The load balancer notices two seconds late that a node left or is full.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random

from google.protobuf.json_format import MessageToJson, Parse

from coordinator.drain_plan import Refusal, plan_drain
from coordinator.members import Kind, View, gone, seen
from coordinator.pace import Pace
from coordinator.placement import Placement
from coordinator.plans import step
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import Leaving, NodeReport, Order, Plan
from protos.coordinator_pb2 import DrainRequest
from tests.simulation.node import SimNode

TICK_S = 0.1
TRAVEL_S = 0.3
BALANCER_LAG_S = 2.0


class Fleet:
    """The cluster. `now` is its time; the coordinator's clock is another one, and changes with the leader."""

    def __init__(
        self,
        nodes: Iterable[SimNode],
        *,
        settings: PlanSettings | None = None,
        placed: bool = False,
        churn_per_s: float = 0.0,
        restart_s: float | None = None,
        seed: int = 1,
    ) -> None:
        self.nodes = list(nodes)
        self.settings = settings or PlanSettings()
        self.rng = Random(seed)
        self.now = 0.0
        self.placed = placed
        self.churn_per_s = churn_per_s
        self.restart_s = restart_s
        self.clock_offset = 1000.0
        self.leading = True
        self.view, self.plans = View(), list[Plan]()
        self.pace: Mapping[Kind, Pace] = {}
        self.placement = Placement(self.settings)
        # By transport and tick.
        self.clients_coming: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.events: defaultdict[int, list[Callable[[], None]]] = defaultdict(list)
        self.out_of_balance_at: dict[str, float] = {}
        self.ticks = 0
        self.clients = sum(node.connections for node in self.nodes)

    @property
    def clock(self) -> float:
        return self.now + self.clock_offset

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.events[self.ticks + max(1, round(seconds / TICK_S))].append(what)

    def drain(self, request: DrainRequest) -> Plan | Refusal:
        plan = plan_drain(
            request, f"plan-{len(self.plans)}", self.view, self.plans, self.clock, self.settings
        )
        if isinstance(plan, Plan):
            self.plans.append(plan)
        return plan

    def node(self, name: str) -> SimNode:
        return next(node for node in self.nodes if node.name == name and node.alive)

    def crash(self, node: SimNode) -> None:
        node.alive = False
        self._send(node.connections, node.transport)
        node.connections = 0
        self.after(self.settings.ttl_s, lambda: self._gone(node))

    def change_leader(self, gap_s: float, clock_offset: float) -> None:
        """The leader dies; another process takes up what is written in the catalog."""
        self.leading = False
        texts = [MessageToJson(plan, preserving_proto_field_name=True) for plan in self.plans]

        def take_over() -> None:
            old = self.clock_offset
            self.clock_offset, self.leading, self.pace = clock_offset, True, {}
            self.plans = [Parse(text, Plan()) for text in texts]
            members = self.view.members.values()
            self.view = View()
            for member in members:
                self.view = seen(self.view, member.report, member.heard_at - old + clock_offset)

        self.after(gap_s, take_over)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.ticks += 1
            self.now = self.ticks * TICK_S
            self._tick()
            if until():
                return

    def _tick(self) -> None:
        for what in self.events.pop(self.ticks, ()):
            what()
        for index, node in enumerate(self.nodes):
            self._send(node.send_away(self.now, TICK_S), node.transport)
            if node.leaving and node.phase == Leaving.EMPTY and node.stop and node.alive:
                self._end(node)
            if node.alive and not node.hung and (self.ticks + index) % 10 == 0:
                self.after(TRAVEL_S, partial(self._heard, node.report(self.now)))
        self._churn()
        self._balance()
        for transport in sorted({node.transport for node in self.nodes}):
            self._arrive(self.clients_coming.pop((transport, self.ticks), 0), transport)
        if self.leading and self.ticks % 5 == 0:
            self._step()

    def _step(self) -> None:
        stepped = step(self.plans, self.view, self.clock, self.settings, self.pace, self.now)
        self.plans, self.pace = stepped.plans, stepped.pace
        assert len({order.node for order in stepped.orders}) == len(stepped.orders)
        nodes = {node.instance: node for node in self.nodes}
        for order in stepped.orders:
            node = nodes[order.instance]
            self.after(TRAVEL_S, partial(self._obey, node, order))
        if self.placed:
            self.placement.update(self.view, self.plans, self.clock)

    def _obey(self, node: SimNode, order: Order) -> None:
        node.obey(order, self.now)

    def _heard(self, report: NodeReport) -> None:
        if any(node.instance == report.instance and node.in_catalog for node in self.nodes):
            self.view = seen(self.view, report, self.clock)

    def _gone(self, node: SimNode) -> None:
        node.in_catalog = False
        member = self.view.members.get(node.name)
        if member and member.report.instance == node.instance:
            self.view = gone(self.view, node.name)

    def _end(self, node: SimNode) -> None:
        node.alive = False
        self.after(TRAVEL_S, partial(self._heard, node.report(self.now)))
        self.after(2 * TRAVEL_S, lambda: self._gone(node))
        if self.restart_s is not None:
            new = SimNode(
                node.name,
                node.capacity,
                transport=node.transport,
                connect_rate_max=node.connect_rate_max,
                version="2",
                born_at=self.now + self.restart_s,
            )
            self.after(self.restart_s, lambda: self.nodes.append(new))

    def _send(self, count: int, transport: str) -> None:
        """They connect again after half a second to one second."""
        for _ in range(count % 6):
            self.clients_coming[transport, self.ticks + self.rng.randint(5, 10)] += 1
        for later in range(5, 11):
            self.clients_coming[transport, self.ticks + later] += count // 6

    def _churn(self) -> None:
        """Clients that leave by themselves, and others that come: as many, at random."""
        if not self.churn_per_s:
            return
        mean = self.churn_per_s * TICK_S
        count = int(mean) + (self.rng.random() < mean % 1)
        sources = [node for node in self.nodes if node.alive and node.connections]
        for node in self.rng.choices(sources, [node.connections for node in sources], k=count):
            if node.connections:
                node.connections -= 1
                self.clients_coming[node.transport, self.ticks + 1] += 1

    def _balance(self) -> None:
        for node in self.nodes:
            if not node.wants_more and node.instance not in self.out_of_balance_at:
                self.out_of_balance_at[node.instance] = self.now + (BALANCER_LAG_S if node.alive else 0)
            elif node.wants_more:
                self.out_of_balance_at.pop(node.instance, None)

    def _arrive(self, count: int, transport: str) -> None:
        ours = [node for node in self.nodes if node.transport == transport]
        known = [n for n in ours if self.now < self.out_of_balance_at.get(n.instance, self.now + 1)]
        by_name = {node.name: node for node in known}
        refused = 0
        if self.placed:
            for _ in range(count):
                places = self.placement.choose(transport, self.clock, self.rng)
                target = by_name.get(places[0].node) if places else None
                refused += target.arrive(1, self.now) if target else 1
        elif known and count:
            each: defaultdict[int, int] = defaultdict(int)
            for index in self.rng.choices(range(len(known)), k=count):
                each[index] += 1
            refused = sum(known[index].arrive(number, self.now) for index, number in each.items())
        else:
            refused = count
        for _ in range(refused):
            self.clients_coming[transport, self.ticks + self.rng.randint(10, 20)] += 1

    def everyone(self) -> int:
        """All clients, wherever they are."""
        return sum(node.connections for node in self.nodes) + sum(self.clients_coming.values())

    def arrivals(self, second: int, skip: Iterable[SimNode] = ()) -> list[int]:
        """What came to each node in one second."""
        skipped = list(skip)
        return [node.arrivals.get(second, 0) for node in self.nodes if node not in skipped]
