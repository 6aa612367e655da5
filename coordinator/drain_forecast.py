"""How long a drain takes at the earliest, before it begins: reckoned group by group of nodes that leave
together.

In a rolling drain the clients of the first nodes are on the later ones when their turn comes, so that a
later node may have far more clients than it has now. All nodes here are of one kind. Pure.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from coordinator.capacity import headroom, intake
from coordinator.settings import PlanSettings
from protos.catalog_pb2 import NodeReport

# More than the reckoned time: towards the end receivers are full at different moments, and clients try twice.
SLACK = 1.2


class Forecast(NamedTuple):
    """The slowest group of a drain.

    Attributes:
        seconds: from leaving rotation until its clients are elsewhere; infinite without room for them.
        clients: of the group, and of other drains that run at the same time.
        receivers: how many nodes can take them.
        room: for how many clients.
    """

    seconds: float
    clients: int
    receivers: int
    room: int


def forecast(
    groups: Sequence[Sequence[NodeReport]],
    serving: Sequence[NodeReport],
    busy: int,
    returning: bool,
    natural: Mapping[str, float],
    settings: PlanSettings,
) -> Forecast:
    """The slowest group.

    Args:
        groups: nodes that leave together, in the order they leave.
        serving: every node of their kind in rotation that no other plan takes out, those of the groups among
            them.
        busy: clients that other drains have still to send to the same receivers; they count for the first
            group.
        returning: a group is back, empty, before the next leaves.
        natural: by instance, new sessions per second that no plan causes.
        settings: see there.
    """
    connections = {report.instance: report.connections for report in [*serving, *chain.from_iterable(groups)]}
    slowest = Forecast(0.0, 0, len(serving), 0)
    for group in groups:
        leaves = {report.instance for report in group}
        stay = [
            _with(report, connections[report.instance]) for report in serving if report.instance not in leaves
        ]
        clients = busy + sum(connections[report.instance] for report in group)
        seconds, each_max = intake(clients, stay, natural, settings)
        reckoned = Forecast(
            settings.settle_s + settings.lag_s + SLACK * seconds, clients, len(stay), sum(map(headroom, stay))
        )
        if not stay:
            return reckoned
        slowest = max(slowest, reckoned)
        for report in stay:
            connections[report.instance] += round(min(headroom(report), each_max))
        if returning:
            connections.update(dict.fromkeys(leaves, 0))
        busy = 0
    return slowest


def _with(report: NodeReport, connections: int) -> NodeReport:
    changed = NodeReport()
    changed.CopyFrom(report)
    changed.connections = connections
    return changed
