"""A node says honestly whether clients should come."""

from node.readiness import Readiness


class Broker:
    connected = False
    disconnected_for_s = 0.0

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def unusable(self) -> dict[str, str]:
        return self.failures


async def test_a_node_is_ready_while_its_broker_is_there_or_only_briefly_away() -> None:
    """Never reached, away too long, stopping: not ready, with the reason; a short break changes nothing."""
    broker, leaving = Broker(), [""]
    readiness = Readiness(broker, 10.0, lambda: leaving[-1])  # type: ignore[arg-type]
    broker.disconnected_for_s = 1.0
    assert readiness.refusal() == "the broker was not reached yet"
    broker.connected, broker.disconnected_for_s = True, 0.0
    assert readiness.refusal() == ""
    broker.connected, broker.disconnected_for_s = False, 9.0
    assert readiness.refusal() == ""
    broker.disconnected_for_s = 11.0
    assert readiness.refusal() == "the broker has been away for 11 s"
    leaving.append("the node is stopping")
    assert readiness.refusal() == "the node is stopping"


async def test_a_node_begins_only_with_all_its_stores_and_then_stays() -> None:
    """A store that was never good is a reason not to come; one that fails later is said, and no reason."""
    broker = Broker()
    readiness = Readiness(broker, 10.0, lambda: "")  # type: ignore[arg-type]
    broker.connected = True
    broker.failures = {"B_NEWS": "insufficient resources", "B_CHAT": "not checked yet"}
    said = "stream B_NEWS cannot be used: insufficient resources (and 1 more)"
    assert readiness.refusal() == said
    broker.failures = {}
    assert (readiness.refusal(), readiness.caution()) == ("", "")
    broker.failures = {"B_NEWS": "no quorum"}
    assert (readiness.refusal(), readiness.caution()) == ("", "stream B_NEWS cannot be used: no quorum")


async def test_a_node_whose_port_is_shut_is_not_ready() -> None:
    """However well everything else is: nobody would get in."""
    broker, shut = Broker(), ["cannot listen"]
    broker.connected = True
    readiness = Readiness(broker, 10.0, str)  # type: ignore[arg-type]
    readiness.shut = lambda: shut[-1]
    assert readiness.refusal() == "cannot listen"
    shut.append("")
    assert readiness.refusal() == ""
