"""The clients and publishers of one process, as the generator wants them and commands tell them."""

import random
import time
from typing import Literal

import trio

from chaos import generator
from chaos.generator import ClientPlan
from chaos.history import Final, Note, Sample
from chaos.history_file import HistoryWriter
from chaos.workload.crowd import Crowd
from chaos.workload.delays import Delays
from chaos.workload.publisher import Address, Head, Publisher
from chaos.workload.spec import Command, NodeAddress, Spec, Status
from chaos.workload.subscriber import Part, Subscriber
from chaos.workload.transports import GRPC

# A publication that could not begin so long after its time is not made: an outage is no reason for a flood.
_OVERDUE_S = 1.0
_WAITING_MAX = 8
_CHECK_EVERY_S = 1.0
_LAG_EVERY_S = 0.05
_CATCH_UP_EVERY_S = 0.1
# Above this the process was too busy to be a fair judge of times.
_LAG_NOTED_S = 0.25
_CPU_NOTED = 0.95


class Load:
    """See the module.

    Args:
        spec: what it is.
        history: where everything is written.
    """

    def __init__(self, spec: Spec, history: HistoryWriter) -> None:
        self._spec = spec
        self._history = history
        self._nodes = _addresses(spec.nodes, "http")
        self._grpc_nodes = _addresses(spec.nodes, "grpc")
        self.crowd = Crowd()
        self._part = Part(self.crowd, history, self._nodes, spec.silence_max_s, Delays(), self._grpc_nodes)
        plans = generator.clients(spec.workload)
        self._plans: dict[Literal["healthy", "slow"], list[ClientPlan]] = {
            "healthy": [plan for plan in plans if plan.role == "healthy"],
            "slow": [plan for plan in plans if plan.role == "slow"],
        }
        self._clients: dict[str, Subscriber] = {}
        self._chance = random.Random(f"{spec.workload.seed}/process")  # noqa: S311 - no secret
        self._publishers: dict[str, Publisher] = {}
        self._publishing: trio.CancelScope | None = None
        self._lag_s = 0.0
        self._cpu_at = (time.monotonic(), time.process_time())
        self._done = ""

    # --- commands ------------------------------------------------------------------------------------

    async def obey(self, command: Command, nursery: trio.Nursery) -> None:
        """Do what is told, or begin to."""
        match command.do:
            case "connect":
                self._join("healthy", command.seconds)
            case "slow":
                self._join("slow", command.seconds)
            case "hasten":
                for client in self._clients.values():
                    client.hasten()
            case "publish":
                nursery.start_soon(self._publish)
            case "pause":
                if self._publishing is not None:
                    self._publishing.cancel()
            case "drop":
                for client in self._clients.values():
                    if self._chance.random() < command.share:
                        client.drop()
            case "nodes":
                self._nodes[:] = _addresses(command.nodes, "http")
                self._grpc_nodes[:] = _addresses(command.nodes, "grpc")
            case "final":
                nursery.start_soon(self._final, command.seconds)
            case "leave":
                for client in self._clients.values():
                    client.leave()
                self._done = "leave"

    def _join(self, role: Literal["healthy", "slow"], seconds: float) -> None:
        now = self.crowd.now()
        plans, self._plans[role] = self._plans[role], []
        for number, plan in enumerate(plans):
            chance = random.Random(f"{self._spec.workload.seed}/{plan.name}")  # noqa: S311 - no secret
            client = Subscriber(plan.name, plan.transport, plan.channels, self._part, chance, plan.role)
            client.go_to(self._place(plan.transport, plan.node), plan.transport)
            self._clients[plan.name] = client
            self.crowd.at(now + seconds * number / len(plans), client.connect)

    def _place(self, transport: str, number: int) -> str:
        """The name of the node that a number of the schedule means for clients of this transport."""
        nodes = self._grpc_nodes if transport == GRPC else self._nodes
        return nodes[number % len(nodes)].name

    # --- publishing ----------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Hand out the schedule until paused; what is under way then is brought to its end."""
        workload = self._spec.workload
        async with trio.open_nursery() as nursery:
            queues: dict[str, trio.MemorySendChannel[generator.Publication]] = {}
            async with trio.open_nursery() as scheduled:
                self._publishing = scheduled.cancel_scope
                scheduled.start_soon(self._move)
                began = trio.current_time()
                for publication in generator.publications(workload):
                    await trio.sleep_until(began + publication.at_s)
                    if trio.current_time() - began - publication.at_s > _OVERDUE_S:
                        continue
                    queue = queues.get(publication.publisher)
                    if queue is None:
                        queue, received = trio.open_memory_channel[generator.Publication](_WAITING_MAX)
                        queues[publication.publisher] = queue
                        nursery.start_soon(self._publisher(publication.publisher).run, received)
                    try:
                        queue.send_nowait(publication)
                    except trio.WouldBlock:
                        continue
            for queue in queues.values():
                queue.close()
        self._publishing = None

    def _publisher(self, name: str) -> Publisher:
        workload = self._spec.workload
        chance = random.Random(f"{workload.seed}/{name}/tries")  # noqa: S311 - no secret
        publisher = Publisher(
            self._nodes,
            self._history,
            self._spec.api_key,
            workload.plain_namespace,
            chance,
            self._part.delays,
        )
        self._publishers[name] = publisher
        return publisher

    async def _move(self) -> None:
        """Let clients go elsewhere, as the schedule says."""
        began = trio.current_time()
        for move in generator.moves(self._spec.workload):
            await trio.sleep_until(began + move.at_s)
            client = self._clients.get(move.client)
            if client is not None:
                client.go_to(self._place(move.transport, move.node), move.transport)

    # --- the end -------------------------------------------------------------------------------------

    def heads(self) -> dict[str, Head]:
        """The last accepted publication of each channel, as all publishers know it."""
        found: dict[str, Head] = {}
        for publisher in self._publishers.values():
            for channel, head in publisher.heads.items():
                known = found.get(channel)
                if known is None or head.follows(known):
                    found[channel] = head
        return found

    async def _final(self, patience_s: float) -> None:
        """Wait until every client has everything that was accepted, and write who has."""
        heads = self.heads()
        with trio.move_on_after(patience_s):
            # Looked at, not told: a client that called back at every delivery would cost too much.
            while any(client.lacks(heads) for client in self._clients.values()):  # noqa: ASYNC110
                await trio.sleep(_CATCH_UP_EVERY_S)
        now = self.crowd.now()
        for client in self._clients.values():
            missing = client.lacks(heads)
            for channel in client.positions:
                head = heads.get(channel)
                name = head.id if head else ""
                self._history.write(Final(now, client.name, channel, name, channel not in missing))
        self._done = "final"

    # --- what it says of itself ----------------------------------------------------------------------

    async def measure(self) -> None:
        """Measure how late this loop is, and give up silent connections, until cancelled."""
        check_at = trio.current_time()
        while True:
            due = trio.current_time() + _LAG_EVERY_S
            await trio.sleep_until(due)
            now = trio.current_time()
            self._lag_s = max(self._lag_s, now - due)
            if now >= check_at:
                check_at = now + _CHECK_EVERY_S
                for client in self._clients.values():
                    client.check()

    def status(self) -> Status:
        """What to tell, and to write down."""
        now, used = time.monotonic(), time.process_time()
        cpu = (used - self._cpu_at[1]) / max(now - self._cpu_at[0], 1e-3)
        self._cpu_at = (now, used)
        lag_s, self._lag_s = self._lag_s, 0.0
        clients = self._clients.values()
        heads = self.heads()
        self._history.write(Sample(now, self._spec.name, "harness", cpu=cpu, loop_lag_s=lag_s))
        if lag_s > _LAG_NOTED_S or cpu > _CPU_NOTED:
            text = f"{self._spec.name} was the bottleneck: {cpu:.0%} of a core, its loop {lag_s:.2f} s late"
            self._history.write(Note(now, text))
        return Status(
            clients=sum(client.wanted for client in clients),
            live=sum(client.is_live for client in clients),
            deliveries=sum(client.deliveries for client in clients),
            accepted=sum(publisher.accepted for publisher in self._publishers.values()),
            sessions=sum(client.sessions for client in clients),
            behind=sum(bool(client.lacks(heads)) for client in clients),
            lag_s=lag_s,
            cpu=cpu,
            idle=self._publishing is None,
            delay_s=self._part.delays.longest_s(),
            done=self._done,
        )


def _addresses(nodes: tuple[NodeAddress, ...], serves: Literal["http", "grpc"]) -> list[Address]:
    return [Address(node.name, node.host, node.port) for node in nodes if node.serves == serves]
