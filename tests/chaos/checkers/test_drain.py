"""Drain: too slow, too rough and too fast are seen, from what clients saw."""

import pytest

from chaos.checkers.drain import check
from chaos.checkers.verdict import Bounds
from chaos.history import DROPPED, Sample
from tests.chaos.histories import BOUNDS, Story

SHUTDOWN = 3001
PACED = Bounds(connect_rate_max=10.0, requires=frozenset({"drain"}))


def _drain(
    *,
    clients: int,
    every_s: float,
    code: int = SHUTDOWN,
    transport: str = "websocket",
    story: Story | None = None,
) -> Story:
    """Node 1 drains within two seconds' deadline: one client after another leaves it for node 2."""
    story = story or Story()
    for number in range(clients):
        story.connected(f"c{number}")
    story.connected("other", "node-2").fault("drain node-1", node="node-1", deadline_s=2.0)
    for number in range(clients):
        story.wait(every_s).closed(f"c{number}", code, transport=transport).connected(f"c{number}", "node-2")
    return story.healed("drain node-1")


def test_a_paced_drain_is_valid() -> None:
    """Empty in time, everybody told, nobody flooded."""
    verdict = check(_drain(clients=5, every_s=0.1).recorded(), PACED)
    assert verdict.state == "valid"
    assert 0.5 < verdict.measured["empty_s"] < 1.0
    assert verdict.measured["arrivals_per_s"] == 2.5


def test_a_drain_past_its_deadline_is_invalid() -> None:
    """Whoever is still there will be cut off."""
    verdict = check(_drain(clients=5, every_s=0.6).recorded(), PACED)
    assert verdict.state == "invalid"
    assert verdict.evidence[0].what == "2 of 5 clients were still there after 2 s"
    assert verdict.evidence[0].node == "node-1"
    assert verdict.evidence[0].t == pytest.approx(2.13, abs=0.01)


def test_a_client_that_is_never_sent_away_is_invalid() -> None:
    """The end of the run is past every deadline."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0).wait(5.0)
    assert check(story.healed("drain node-1").recorded(), PACED).state == "invalid"


def test_being_cut_off_without_a_word_is_invalid() -> None:
    """A drain says goodbye, where the transport has a word for it."""
    verdict = check(_drain(clients=3, every_s=0.1, code=0).recorded(), PACED)
    assert [case.client for case in verdict.evidence] == ["c0", "c1", "c2"]
    assert all(0.0 < (case.t or 0.0) < 1.0 for case in verdict.evidence)
    allowed = Bounds(drain_cut_off_max=3)
    assert check(_drain(clients=3, every_s=0.1, code=0).recorded(), allowed).state == "valid"
    assert check(_drain(clients=3, every_s=0.1, code=0, transport="sse").recorded(), PACED).state == "valid"


def test_a_connection_that_the_run_broke_is_not_the_drains_doing() -> None:
    """A storm of reconnects may come while a node drains."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0)
    story.closed("c1", reason=DROPPED).connected("c1", "node-2").healed("drain node-1")
    assert check(story.recorded(), PACED).state == "valid"


def test_a_flood_on_the_receivers_is_invalid() -> None:
    """Thirty within a second, where ten can be taken."""
    verdict = check(_drain(clients=30, every_s=0.0).recorded(), PACED)
    assert verdict.state == "invalid"
    assert [(case.node, case.what) for case in verdict.evidence] == [
        ("node-2", "30 clients arrived within 2 s, it can take 10 a second")
    ]
    assert 0.0 < (verdict.evidence[0].t or 0.0) < 2.0


def test_only_arrivals_while_others_drain_are_its_doing() -> None:
    """Everybody connecting at the start of the run is no flood of the drain."""
    story = Story()
    for number in range(100):
        story.connected(f"early-{number}", "node-2")
    drained = _drain(clients=5, every_s=0.1, story=story.wait(5.0)).wait(5.0)
    for number in range(100):
        drained.connected(f"late-{number}", "node-2")
    assert check(drained.recorded(), PACED).evidence == ()


def test_attempts_that_were_refused_are_no_sessions() -> None:
    """A client that could not get in was not on the node, and was not cut off by it."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0)
    story.closed("c1", SHUTDOWN).closed("c1").closed("c2").connected("c1", "node-2").healed("drain node-1")
    assert check(story.recorded(), PACED).state == "valid"


def test_a_node_may_say_itself_what_it_can_take() -> None:
    """Without a bound the receiver's own word counts; without a word, or before it knows, nothing does."""
    story = Story()
    story.tell(Sample(story.t, "node-2", connect_rate=10.0))
    story.records += _drain(clients=30, every_s=0.0).records[1:]
    assert check(story.recorded(), BOUNDS).state == "invalid"
    assert check(_drain(clients=30, every_s=0.0).recorded(), BOUNDS).state == "valid"
    story.records[1] = Sample(story.t, "node-2", connect_rate=0.0)
    assert check(story.recorded(), BOUNDS).state == "valid"


def test_clients_that_a_draining_node_took_and_kept_are_invalid() -> None:
    """It did not refuse newcomers: those who were there went in time, and others are in their place."""
    story = Story().connected("c1").connected("c2")
    story.fault("drain node-1", node="node-1", deadline_s=2.0).connected("late-1").closed("c1", SHUTDOWN)
    story.connected("late-2").closed("c2", SHUTDOWN).wait(3.0).healing("drain node-1")
    verdict = check(story.healed("drain node-1").recorded(), PACED)
    assert verdict.state == "invalid"
    assert [case.what for case in verdict.evidence] == [
        "2 of 4 clients were still there after 2 s, 2 of them had come since"
    ]


def test_a_client_that_a_drained_node_takes_is_invalid() -> None:
    """It was empty, and let somebody in before it was given back."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0)
    story.closed("c1", SHUTDOWN).wait(0.5).connected("c2").healing("drain node-1").healed("drain node-1")
    assert check(story.wait(3.0).phase("final").recorded(), PACED).state == "invalid"


def test_clients_that_come_before_a_node_refuses_them_may_leave_with_the_others() -> None:
    """The order to leave takes its time, and who was half open then is let in."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0).connected("c2")
    story.closed("c1", SHUTDOWN).wait(0.5).connected("c3").closed("c2", SHUTDOWN).closed("c3", SHUTDOWN)
    verdict = check(story.wait(2.0).healing("drain node-1").healed("drain node-1").recorded(), PACED)
    assert verdict.state == "valid"
    assert 0.5 < verdict.measured["empty_s"] < 1.0


def test_clients_that_come_once_a_node_is_given_back_are_welcome() -> None:
    """Giving it back takes a while to return, and clients are quicker."""
    story = Story().connected("c1").fault("drain node-1", node="node-1", deadline_s=2.0)
    story.closed("c1", SHUTDOWN).wait(0.5).healing("drain node-1").connected("c2").healed("drain node-1")
    assert check(story.wait(3.0).phase("final").recorded(), PACED).state == "valid"


def test_a_drain_of_a_node_without_clients_is_none() -> None:
    """It shows nothing, as when clients call the node by another name than the fault does."""
    story = Story().connected("c1", "node-2").fault("drain node-1", node="node-1", deadline_s=2.0).wait(5.0)
    assert check(story.healed("drain node-1").recorded(), PACED).state == "unknown"


def test_no_drain_is_unknown_where_one_is_asked_for() -> None:
    """A rolling drain in which nothing drained."""
    assert check(Story().recorded(), PACED).state == "unknown"
    assert check(Story().recorded(), BOUNDS).state == "valid"
