"""Unplaced: what a channel is configured to be decides, and not what a node says of it."""

import pytest

from chaos.checkers import lost, unplaced
from chaos.checkers.verdict import Bounds
from chaos.history import Delivered, Published, Subscribed
from tests.chaos.histories import BOUNDS, PLAIN, ROOM, Story, ended, good, places


def test_places_where_history_is_kept_and_nowhere_else_are_valid() -> None:
    """As every run should be."""
    story = good().subscribed("c1", PLAIN).published("p", channel=PLAIN).delivered("c1", "p", channel=PLAIN)
    assert unplaced.check(ended(story), BOUNDS).state == "valid"


def test_a_node_that_forgets_that_a_channel_keeps_history_does_not_escape() -> None:
    """It reports no epoch: nothing is owed then by what it says, so what it says is called wrong."""
    story = Story().client("c1").connected("c1")
    story.tell(Subscribed(story.t, "c1", ROOM))
    story.published("a", "b")
    story.tell(Delivered(story.t, "c1", ROOM, "a"))
    recorded = story.final("c1", "b").recorded()
    assert lost.check(recorded, BOUNDS).state != "invalid"
    verdict = unplaced.check(recorded, BOUNDS)
    assert verdict.state == "invalid"
    assert [what for _, _, what in places(verdict)] == [
        "was subscribed without a place, the channel keeps history",
        "was delivered without a place, the channel keeps history",
    ]
    assert {case.node for case in verdict.evidence} == {"node-1"}


@pytest.mark.parametrize(("offset", "epoch"), [(0, ""), (11, ""), (0, "e1")])
def test_what_is_accepted_on_a_history_channel_has_a_place(offset: int, epoch: str) -> None:
    """Half a place is none."""
    story = Story()
    story.tell(Published(story.t, "invoke", "a", "p", ROOM, "node-2"))
    story.tell(Published(story.t, "ok", "a", "p", ROOM, "node-2", offset, epoch))
    [case] = unplaced.check(story.recorded(), BOUNDS).evidence
    assert (case.id, case.node) == ("a", "node-2")
    assert case.what.startswith("was accepted without a place")


def test_a_place_on_a_plain_channel_is_wrong_too() -> None:
    """Somebody would try to recover from it."""
    story = good()
    story.tell(Subscribed(story.t, "c1", PLAIN, "e1", 3))
    [(client, _, what)] = places(unplaced.check(story.recorded(), BOUNDS))
    assert (client, what) == ("c1", "was subscribed with a place, the channel keeps no history")


def test_nothing_to_judge_and_half_a_history_say_nothing() -> None:
    """Where the verdict is asked for, silence is none; and what is missing may be what was wrong."""
    empty = Story().recorded()
    assert unplaced.check(empty, Bounds(requires=frozenset({unplaced.NAME}))).state == "unknown"
    recorded = ended(good())
    recorded.cut_short.append("workload-1 ends in the middle of a line")
    assert unplaced.check(recorded, BOUNDS).state == "unknown"
