"""A simulated node: clients are a count, and orders are obeyed as a node obeys them."""

from collections import deque
from dataclasses import dataclass, field

from node.outage import Outage
from protos.catalog_pb2 import Address, Leaving, Moving, NodeReport, Order

# Longer without its broker, a node is not ready.
LOST_MAX_S = 10.0
# A node that hears no order for so long goes on as it was told last, or as its deadline needs.
DEAF_S = 3.0


@dataclass
class SimNode:
    """One process. Times are of the simulation, seconds."""

    name: str
    capacity: int = 20_000
    connections: int = 0
    transport: str = "websocket"
    connect_rate_max: float = 100.0
    connect_cost_s: float = 0.0
    base_cpu: float = 0.1
    version: str = "1"
    settle_s: float = 5.0
    instance: str = ""
    born_at: float = 0.0
    alive: bool = True
    hung: bool = False
    deaf: bool = False
    in_catalog: bool = True
    # Since when it is without its broker.
    lost_at: float | None = None
    outage: Outage = field(default_factory=lambda: Outage(LOST_MAX_S))
    cut_off: bool = False
    leaving: bool = False
    on_its_own: bool = False
    stop: bool = False
    phase: Leaving.Phase = Leaving.PHASE_UNSPECIFIED
    ends_at: float = 0.0
    left_at: float = 0.0
    plan_id: str = ""
    rate: float = 0.0
    ordered_at: float = -100.0
    sent_away: int = 0
    move: Order | None = None
    moved: int = 0
    tokens: float = 0.0
    number: int = 0
    # Sessions that came, by second; what came within the last two seconds is reported as the rate.
    arrivals: dict[int, int] = field(default_factory=dict)
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    refused: int = 0

    def __post_init__(self) -> None:
        self.instance = self.instance or f"{self.name}@{self.born_at:g}"

    @property
    def serving(self) -> bool:
        return self.alive and not self.leaving

    @property
    def wants_more(self) -> bool:
        return self.serving and self.connections < self.capacity and not self.outage.lasts

    def arrive(self, count: int, now: float) -> int:
        """Returns how many were refused: all while leaving, else who finds the node full."""
        taken = min(count, self.capacity - self.connections) if self.serving and not self.hung else 0
        self.connections += taken
        self.arrivals[int(now)] = self.arrivals.get(int(now), 0) + taken
        self.recent.append((now, taken))
        self.refused += count - taken
        return count - taken

    def obey(self, order: Order, now: float) -> None:
        if self.deaf or self.hung or order.instance != self.instance:
            return
        self.ordered_at = now
        if order.action == Order.SERVE and not self.on_its_own:
            self.leaving, self.move, self.plan_id, self.cut_off = False, None, "", False
        elif order.action == Order.MOVE:
            if self.move is None or self.move.plan_id != order.plan_id:
                self.moved = 0
            self.move = order
        elif order.action == Order.DRAIN:
            if self.cut_off and not order.cut_off:
                # Another plan: it begins anew.
                self.leaving = False
            self.leave(now, order.ends_in_s)
            self.cut_off = order.cut_off
            self.stop = self.stop or order.stop
            self.plan_id, self.rate = order.plan_id, order.rate
            self.ends_at = min(self.ends_at, now + order.ends_in_s)

    def leave(self, now: float, deadline_s: float, *, on_its_own: bool = False) -> None:
        if not self.leaving:
            self.leaving, self.phase, self.left_at, self.sent_away = True, Leaving.WAITING, now, 0
            self.ends_at = now + deadline_s
        if on_its_own:
            self.on_its_own = self.stop = True
            self.cut_off = False
            self.ends_at = min(self.ends_at, now + deadline_s)

    def send_away(self, now: float, dt: float) -> int:
        """How many clients are told to go in the time that passed."""
        if not self.alive or self.hung:
            return 0
        if self.cut_off and not self.outage.lasts and now - self.ordered_at > DEAF_S:
            self.leaving = self.cut_off = False
        if not self.leaving:
            return self._move(dt)
        if self.phase == Leaving.WAITING and now >= self.left_at + self.settle_s:
            self.phase = Leaving.SENDING
        count = 0
        if self.phase == Leaving.SENDING:
            if now - self.ordered_at > DEAF_S:
                hurried = max(self.rate, self.connections / max(self.ends_at - now, dt))
                self.rate = 0.0 if self.cut_off else hurried
            self.tokens = min(self.tokens + self.rate * dt, self.rate)
            count = min(self.connections, int(self.tokens))
            self.tokens -= count
        if now >= self.ends_at:
            count = self.connections
        self.connections -= count
        self.sent_away += count
        if not self.connections and self.phase == Leaving.SENDING:
            self.phase = Leaving.EMPTY
        return count

    def _move(self, dt: float) -> int:
        if self.move is None:
            return 0
        self.tokens = min(self.tokens + self.move.rate * dt, self.move.rate)
        # What was ordered may become less than has gone already.
        count = max(0, min(self.connections, int(self.tokens), self.move.count - self.moved))
        self.tokens -= count
        self.moved += count
        self.connections -= count
        return count

    def _state(self) -> NodeReport.State:
        if self.leaving:
            return NodeReport.LEAVING
        return NodeReport.SERVING if self.wants_more else NodeReport.NOT_READY

    def report(self, now: float) -> NodeReport:
        while self.recent and self.recent[0][0] < now - 2.0:
            self.recent.popleft()
        self.number += 1
        rate = sum(count for _, count in self.recent) / 2.0
        lost_s = 0.0 if self.lost_at is None else now - self.lost_at
        self.outage.observe(lost_s, now)
        report = NodeReport(
            name=self.name,
            instance=self.instance,
            number=self.number,
            version=self.version,
            state=self._state(),
            addresses=[Address(transport=self.transport, url=f"ws://{self.name}/")],
            connections=self.connections,
            capacity=self.capacity,
            connect_rate_max=self.connect_rate_max,
            connect_rate=rate,
            connect_cost_s=self.connect_cost_s,
            cpu=min(1.0, self.base_cpu + rate * self.connect_cost_s),
            uptime_s=now - self.born_at,
            broker_lost_s=lost_s,
            broker_outage=self.outage.number if self.outage.lasts else 0,
        )
        if self.leaving:
            report.leaving.CopyFrom(
                Leaving(
                    phase=self.phase,
                    plan_id=self.plan_id,
                    on_its_own=self.on_its_own,
                    stop=self.stop,
                    sent_away=self.sent_away,
                    rate=self.rate if self.phase == Leaving.SENDING else 0.0,
                    ends_in_s=max(0.0, self.ends_at - now),
                    cut_off=self.cut_off,
                )
            )
        if self.move is not None:
            report.moving.CopyFrom(
                Moving(plan_id=self.move.plan_id, sent_away=self.moved, count=self.move.count)
            )
        return report
