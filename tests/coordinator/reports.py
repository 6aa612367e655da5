"""Reports and views to test with."""

from coordinator.members import View, seen
from protos.catalog_pb2 import Address, Leaving, NodeReport

NOW = 100.0


def report(
    name: str,
    connections: int = 1000,
    *,
    capacity: int = 10_000,
    instance: str = "",
    number: int = 1,
    rate: float = 100.0,
    version: str = "1",
    leaving: Leaving | None = None,
    uptime_s: float = 1000.0,
    transport: str = "websocket",
) -> NodeReport:
    made = NodeReport(
        name=name,
        instance=instance or f"{name}-1",
        number=number,
        version=version,
        state=NodeReport.LEAVING if leaving else NodeReport.SERVING,
        addresses=[Address(transport=transport, url=f"ws://{name}/")],
        connections=connections,
        capacity=capacity,
        connect_rate_max=rate,
        uptime_s=uptime_s,
    )
    if leaving:
        made.leaving.CopyFrom(leaving)
    return made


def view_of(*reports: NodeReport, now: float = NOW) -> View:
    view = View()
    for each in reports:
        view = seen(view, each, now)
    return view
