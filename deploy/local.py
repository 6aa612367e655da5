"""A cluster on this machine, for development and tests: what is checked first, then the run of it."""

from itertools import islice

from deploy import nats_process
from deploy.cluster import Cluster
from deploy.cluster_settings import NatsPorts, Output, Ports, Settings, grpc_node_name, node_name
from deploy.errors import UserError
from deploy.ports import free_ports, see_that_free
from deploy.scratch import scratch_directory


async def run(settings: Settings, output: Output) -> int:
    """Run a cluster until a signal or a death ends it; returns the exit code.

    SIGINT, SIGTERM and SIGHUP stop the nodes, the coordinator, then NATS; a second one kills what is left.
    Whatever happens, cancellation included, no process stays behind.

    Raises:
        UserError: a port is taken, a program is missing, or a path cannot be used.
    """
    nats_program = "" if settings.nats_url else nats_process.find_program()
    ports = choose_ports(settings)
    check_paths(settings)
    with scratch_directory() as scratch:
        store = settings.data or scratch.path
        nats = nats_process.commands(nats_program, ports.nats, store, scratch.path)
        return await Cluster(settings, output, nats, ports, nats_fds=[scratch.lock]).run()


def choose_ports(settings: Settings) -> Ports:
    """Every port of the cluster, all free now, before anything is started.

    Raises:
        UserError: one that was asked for is not.
    """
    http_ports = list(range(settings.http_port, settings.http_port + settings.nodes))
    if settings.http_port:
        for index, port in enumerate(http_ports):
            see_that_free(port, node_name(index), "--http-port")
    grpc_ports = list(range(settings.grpc_port, settings.grpc_port + settings.grpc_nodes))
    if settings.grpc_port:
        for index, port in enumerate(grpc_ports):
            see_that_free(port, grpc_node_name(index), "--grpc-port")
    nats_ports = list(range(settings.nats_port, settings.nats_port + settings.nats_servers))
    if settings.nats_port and not settings.nats_url:
        for port in nats_ports:
            see_that_free(port, "nats", "--nats-port")
    asked = settings.coordinator_port
    if asked:
        see_that_free(asked, "the coordinator", "--coordinator-port")
        see_that_free(asked + 1, "the coordinator's gRPC", "--coordinator-port")
    free = free_ports(taken=[*nats_ports, asked or 0, (asked or 0) + 1, *http_ports, *grpc_ports])
    if not settings.http_port:
        http_ports = list(islice(free, settings.nodes))
    if not settings.grpc_port:
        grpc_ports = list(islice(free, settings.grpc_nodes))
    grpc = tuple((port, next(free)) for port in grpc_ports)
    coordinator = (asked, asked + 1) if asked else (next(free), next(free))
    if not settings.nats_port:
        nats_ports = list(islice(free, settings.nats_servers))
    nats = [NatsPorts(port, next(free)) for port in nats_ports]
    return Ports(nats, http_ports, None if asked is None else coordinator, grpc)


def check_paths(settings: Settings) -> None:
    """See that what will be written can be.

    Raises:
        UserError: a directory is missing or cannot be made.
    """
    ready_file = settings.ready_file
    if ready_file and not ready_file.parent.is_dir():
        raise UserError(f"--ready-file {ready_file}: the directory {ready_file.parent} does not exist")
    if settings.data:
        try:
            settings.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--data {settings.data}: {error.strerror}") from error
