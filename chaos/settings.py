"""What a run is told; from an experiment's file and the command line. Plain data."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """See the module; the names are those of an experiment's `configuration`.

    Attributes:
        name: of the experiment.
        seed: repeats the schedule.
        command: what to type to run it again.
        nodes: how many.
        grpc_nodes: how many more that serve gRPC; their clients go nowhere else.
        nats_servers: how many.
        consul: whether the catalog is in Consul and not in NATS.
        clients: how many healthy ones.
        slow_clients: how many that read slowly, once a fault lets them come.
        deliveries_per_s: what all clients together receive.
        duration_s: how long what the method does may take; publishing lasts as long as that needs.
        transports: what clients use, names of workload/transports.py; none given: all, or on a cluster that
            runs those that no configuration switches off. `grpc` only where there are such nodes.
        links: which links go through proxies: `clients`, `nats`.
        patience_s: how long clients may take to catch up at the end.
        silence_max_s: see workload.spec.Spec.
        bounds: what the checkers judge by, where it differs.
        ready_file: of a cluster that runs, "" to start one.
        api_key: of that cluster.
        report: directory for the report.
        target: where the cluster is: on this machine, or an installation of the chart.
        installation: of the chart: the name of the nodes' Deployment, in the namespace of the run's pod.
    """

    name: str
    seed: int = 1
    command: str = ""
    nodes: _AtLeastOne = 3
    grpc_nodes: _NotNegative = 2
    nats_servers: _AtLeastOne = 1
    consul: bool = False
    clients: _AtLeastOne = 300
    slow_clients: _NotNegative = 0
    deliveries_per_s: _Positive = 2000.0
    duration_s: _Positive = 30.0
    transports: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    patience_s: float = 30.0
    silence_max_s: float = 6.0
    bounds: dict[str, Any] = msgspec.field(default_factory=dict)
    ready_file: str = ""
    api_key: str = ""
    report: str = ""
    target: Literal["local", "kubernetes"] = "local"
    installation: str = "broadcast-cluster"


def make_directory(settings: Settings) -> Path:
    """An empty directory for a run's history and report; another one beside it if the first is used."""
    wanted = Path(settings.report or f"chaos-report/{settings.name}-{settings.seed}")
    others = (wanted.with_name(f"{wanted.name}-{number}") for number in itertools.count(2))
    candidates = itertools.chain([wanted], others)
    directory = next(path for path in candidates if not path.exists() or not any(path.iterdir()))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
