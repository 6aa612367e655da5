"""Every fault by its name."""

from chaos.faults.clock_jump import ClockJump
from chaos.faults.connection_flood import connection_flood
from chaos.faults.consul_kill import ConsulKill
from chaos.faults.coordinator_kill import CoordinatorKill
from chaos.faults.disk_full import DiskFull
from chaos.faults.interface import MakeFault
from chaos.faults.malformed_flood import malformed_flood
from chaos.faults.nats_kill import NatsKill
from chaos.faults.network import link_fault
from chaos.faults.never_read import never_read
from chaos.faults.node_drain import NodeDrain
from chaos.faults.node_hang import NodeHang
from chaos.faults.node_kill import NodeKill
from chaos.faults.node_term import NodeTerm
from chaos.faults.pods import RollOut, Scale
from chaos.faults.reconnect_storm import ReconnectStorm
from chaos.faults.slow_clients import SlowClients
from chaos.proxy import CLEAR, Conditions

FAULTS: dict[str, MakeFault] = {
    "node-kill": NodeKill,
    "node-term": NodeTerm,
    "node-hang": NodeHang,
    "node-drain": NodeDrain,
    "roll-out": RollOut,
    "scale": Scale,
    "nats-kill": NatsKill,
    "coordinator-kill": CoordinatorKill,
    "consul-kill": ConsulKill,
    "link-slow": link_fault("link-slow", Conditions(latency_s=0.05, jitter_s=0.05)),
    "link-narrow": link_fault("link-narrow", Conditions(bytes_per_s=200_000)),
    "link-silent": link_fault("link-silent", Conditions(held=True)),
    "link-reset": link_fault("link-reset", CLEAR, reset=True),
    "link-cut": link_fault("link-cut", Conditions(refused=True), reset=True),
    "reconnect-storm": ReconnectStorm,
    "slow-clients": SlowClients,
    "never-read": never_read,
    "connection-flood": connection_flood,
    "malformed-flood": malformed_flood,
    "disk-full": DiskFull,
    "clock-jump": ClockJump,
}
