"""Balance: a node without its share after a rebalance is seen, and clients that were moved too fast are."""

from chaos.checkers.balance import check
from chaos.history import Rebalance, Session
from tests.chaos.histories import BOUNDS, Story

NODES = ("node-1", "node-2", "node-3")
CLIENTS = [f"c{number}" for number in range(60)]
RATE = 20.0


def story(*, moved: int = 20, every_s: float = 0.05, ends: bool = True) -> Story:
    """Sixty clients on two nodes, a third one comes, and so many are moved to it."""
    made = Story()
    for at, client in enumerate(CLIENTS):
        made.connected(client, NODES[at % 2])
    made.tell(Rebalance(made.wait(5).t, "begin", NODES, RATE))
    for at, client in enumerate(CLIENTS[:moved]):
        t = made.wait(every_s).t
        made.tell(Session(t, client, "websocket", NODES[at % 2], "closed", 3001, "moved to another node"))
        made.tell(Session(t, client, "websocket", "node-3", "connected"))
    if ends:
        made.tell(Rebalance(made.wait(1).t, "end", NODES, RATE))
    return made.wait(10).phase("final")


def test_shares_and_the_pace_that_was_asked_for_are_valid() -> None:
    """Twenty of sixty go to the new node, twenty a second."""
    verdict = check(story().recorded(), BOUNDS)
    assert verdict.state == "valid"
    assert (verdict.measured["judged"], verdict.measured["moved"]) == (1.0, 20.0)
    assert verdict.measured["from_share"] == 0.0


def test_a_new_node_without_its_share_is_invalid() -> None:
    """Nobody was moved, though the coordinator said that the load is even now."""
    verdict = check(story(moved=0).recorded(), BOUNDS)
    assert verdict.state == "invalid"
    [case] = verdict.evidence
    assert case.node == "node-3"
    assert case.what.startswith("has 0 clients, its share is 20")


def test_a_new_node_that_is_given_too_much_is_invalid() -> None:
    """The load is as uneven as before, the other way round."""
    verdict = check(story(moved=60).recorded(), BOUNDS)
    assert [case.node for case in verdict.evidence] == ["node-3"]


def test_clients_that_are_moved_too_fast_are_invalid() -> None:
    """All of them within a fifth of a second, where twenty a second were asked for."""
    verdict = check(story(moved=55, every_s=0.004).recorded(), BOUNDS)
    assert "were moved within 2 s, 20 a second were asked for" in verdict.evidence[-1].what


def test_a_rebalance_without_an_end_says_nothing() -> None:
    """There is no time at which nodes have to have their share."""
    verdict = check(story(ends=False).recorded(), BOUNDS)
    assert verdict.state == "unknown"


def test_a_history_that_ends_with_the_rebalance_says_nothing() -> None:
    """Clients may still be on their way, and what comes later was not written down."""
    made = story(ends=False)
    made.tell(Rebalance(made.wait(1).t, "end", NODES, RATE))
    verdict = check(made.phase("final").recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert "the history ends before" in verdict.summary


def test_nodes_without_clients_are_not_even() -> None:
    """Nobody has the same share of nobody."""
    made = story()
    lonely = Story()
    lonely.records = [record for record in made.records if not isinstance(record, Session)]
    verdict = check(lonely.recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert "nobody was there" in verdict.summary


def test_clients_that_leave_by_themselves_are_not_moved() -> None:
    """They have no pace to keep."""
    made = story(ends=False)
    for client in CLIENTS:
        made.closed(client, -1).closed(client, 0)
    made.tell(Rebalance(made.wait(1).t, "end", NODES, RATE))
    assert check(made.recorded(), BOUNDS).measured["moved"] == 20.0
