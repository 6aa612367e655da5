"""Every peer really delivers: what the load generator counts came from each of them, frame by frame."""

from collections.abc import Iterator

import pytest

from tests.bench.building import CannotBuild, command_of
from tests.bench.load import Load, Plan
from tests.bench.measure import FLOOR, GO, GO_NATS, HYPERCORN, TRIO_WEBSOCKET
from tests.bench.servers import peer
from tests.nats_server import NatsServer


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with NatsServer(jetstream=False) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "transport"),
    [
        (FLOOR, "websocket"),
        (FLOOR, "sse"),
        (GO, "websocket"),
        (GO, "sse"),
        (GO_NATS, "websocket"),
        (TRIO_WEBSOCKET, "websocket"),
        (HYPERCORN, "websocket"),
        (HYPERCORN, "sse"),
    ],
)
def test_each_subscriber_of_a_peer_has_each_publication(name: str, transport: str, nats: NatsServer) -> None:
    """Figures next to a peer mean something only if it does the same work."""
    try:
        command_of(name)
    except CannotBuild as error:
        pytest.skip(str(error))
    load = Load()
    with peer(name, nats=nats) as server:
        load.connect([server.target], transport, 5)
        report = load.publish_and_receive(server.target, Plan(100.0, 10))
        load.disconnect()
    assert (report.came, report.answers, len(report.samples)) == (50, 10, 50)
    assert 0 < report.outstanding_s <= report.wall_s


def test_a_peer_that_publishes_alone_answers_each_publication(nats: NatsServer) -> None:
    """Publishing without a subscriber, over several connections at once."""
    with peer(HYPERCORN, nats=nats) as server:
        report = Load().publish_at_once(server.target, 3, 20, 128)
    assert report.came == 20


def test_a_peer_without_its_compiler_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is said, so that an empty column is never a riddle."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotBuild, match="there is no `cc` on the PATH"):
        command_of(FLOOR)
    assert command_of(HYPERCORN)[-1] == "tests.bench.peers.with_hypercorn"
