"""A gRPC node that leaves: health first, then no new calls, paced ends with a hint; and it comes back."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.cluster import OPEN_NAMESPACE, Cluster, NodeProcess
from tests.integration.coordinator.processes import CoordinatorProcess
from tests.integration.grpc.clients import Caller, Events, status_of
from tests.integration.grpc.conftest import OPTIONS
from tests.integration.grpc.test_hostile import until
from tests.patience import PATIENCE_S

RATE, STREAMS = 50, 60


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    """Two gRPC nodes that send away fifty streams per second."""
    options = {**OPTIONS, "drain": {"arrivals_quiet_s": 0, "arrivals_wait_max_s": 0, "rate": RATE}}
    channel = {"without_namespace": {**OPEN_NAMESPACE, "history_size": 300}}
    with Cluster(tmp_path, nodes=0, channel=channel, **options) as cluster:
        cluster.start_nodes("grpc-1", "grpc-2", serve="grpc")
        yield cluster


def publish_until(stopped: threading.Event, caller: Caller, accepted: list[int]) -> None:
    while not stopped.is_set():
        caller.publish("news", b"%d" % len(accepted))
        accepted.append(len(accepted))
        stopped.wait(0.1)


def read_to_the_end(stream: Events) -> tuple[list[int], Any]:
    offsets: list[int] = []
    try:
        while True:
            offsets.append(stream.next("publication").offset)
    except grpc.RpcError as error:
        return offsets, error


def test_a_stopped_node_ends_its_streams_and_loses_nothing(pair: Cluster) -> None:
    """Paced, each with UNAVAILABLE and how long to wait; on the other node each goes on without a gap."""
    leaving, staying = pair.nodes
    accepted: list[int] = []
    stopped = threading.Event()
    with Caller(leaving.grpc) as here, Caller(staying.grpc) as there:
        streams = [here.subscribe("news") for _ in range(STREAMS)]
        (epoch,) = {stream.next("subscribed").position.epoch for stream in streams}
        publishing = threading.Thread(target=publish_until, args=(stopped, there, accepted))
        publishing.start()
        streams[0].next("publication")
        started = time.monotonic()
        leaving.process.send_signal(signal.SIGTERM)
        last: list[int] = []
        for stream in streams:
            offsets, error = read_to_the_end(stream)
            assert status_of(error) == ("UNAVAILABLE", "3001")
            assert int(dict(error.trailing_metadata())["retry-after-ms"]) >= 500
            last.append(offsets[-1] if offsets else 0)
        took_s = time.monotonic() - started
        assert took_s > STREAMS / RATE * 0.7
        stopped.set()
        publishing.join()
        assert leaving.process.wait(PATIENCE_S) == 0
        top = there.history("news", limit=0).position.offset
        for offset in sorted(set(last) - {0}):
            again = there.subscribe(news=(epoch, offset))
            assert again.next("subscribed").recovered
            missed = []
            while offset < top:
                publication = again.next("publication")
                offset = publication.offset
                missed.append(int(publication.data))
            assert missed == list(range(len(accepted)))[len(accepted) - len(missed) :]
            again.call.cancel()


def test_a_stream_of_messages_ends_with_what_was_taken(pair: Cluster) -> None:
    """The node that leaves says how many it has looked at; the client sends the others elsewhere."""
    leaving = pair.nodes[0]
    sent = threading.Semaphore(0)
    held = threading.Event()

    def messages() -> Iterator[tuple[str, bytes]]:
        for number in range(10):
            yield "news", b"%d" % number
            sent.release()
        held.wait(PATIENCE_S)

    with Caller(leaving.grpc) as here, Caller(pair.nodes[1].grpc) as there:
        stream = there.subscribe("news")
        stream.next("subscribed")
        threading.Thread(
            target=lambda: (stream.data(10), leaving.process.send_signal(signal.SIGTERM))
        ).start()
        summary = here.publish_stream(messages())
        held.set()
        assert (summary.received, summary.accepted, summary.failed) == (10, 10, 0)
        assert leaving.process.wait(PATIENCE_S) == 0


def health_of(node: NodeProcess) -> str:
    with Caller(node.grpc) as caller:
        stub = health_pb2_grpc.HealthStub(caller.channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def test_a_drained_node_serves_again_on_its_port(pair: Cluster, tmp_path: Path) -> None:
    """Drained it takes no call, and who watched its health was told first; undrained, it is as it was."""
    assert pair.nats is not None
    node = pair.nodes[0]
    with (
        CoordinatorProcess(tmp_path, "coordinator", pair.nats.url) as coordinator,
        Caller(node.grpc) as here,
    ):
        watching = health_pb2_grpc.HealthStub(here.channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=PATIENCE_S
        )
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        stream = here.subscribe("news")
        stream.next("subscribed")
        until(lambda: coordinator.leads() and set(coordinator.nodes()) >= {"grpc-1", "grpc-2"})
        with coordinator.command("drain", "grpc-1", "--deadline", "15s") as drain:
            assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert status_of(stream.end()) == ("UNAVAILABLE", "3001")
            assert drain.wait() == 0
        until(lambda: health_of(node) == "UNAVAILABLE")
        with coordinator.command("undrain", "grpc-1") as undrain:
            assert undrain.wait() == 0
        until(lambda: health_of(node) == "SERVING")
        with Caller(node.grpc) as again:
            stream = again.subscribe("news")
            stream.next("subscribed")
            again.publish("news", b"1")
            assert stream.data(1) == [b"1"]
