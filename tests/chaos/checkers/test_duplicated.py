"""Duplicated: the second time is seen, wherever it comes from."""

from chaos.checkers.duplicated import check
from tests.chaos.histories import BOUNDS, PLAIN, Story, ended, good


def test_once_each_is_valid() -> None:
    """Two clients that get the same are no duplicates."""
    verdict = check(ended(good()), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 6.0)


def test_twice_is_invalid() -> None:
    """One delivery too many, named with both its times."""
    verdict = check(ended(good().delivered("c1", "b")), BOUNDS)
    assert verdict.state == "invalid"
    assert [(case.client, case.id, case.offset) for case in verdict.evidence] == [("c1", "b", 12)]
    assert verdict.evidence[0].what.startswith("came first at 0.")


def test_three_times_is_two_too_many() -> None:
    """Every repetition counts."""
    assert check(ended(good().delivered("c1", "b", "b")), BOUNDS).measured["wrong"] == 2.0


def test_live_and_then_recovered_is_invalid() -> None:
    """A recovery from a position does not bring what lies before it."""
    story = good().closed("c1").connected("c1", "node-2").recovered("c1", "c").delivered("c1", "c")
    assert [case.node for case in check(ended(story), BOUNDS).evidence] == ["node-2"]


def test_twice_on_a_plain_channel_is_invalid() -> None:
    """At most once is what it promises."""
    story = Story().connected("c1").subscribed("c1", PLAIN).published("a", channel=PLAIN)
    assert check(story.delivered("c1", "a", "a", channel=PLAIN).recorded(), BOUNDS).state == "invalid"


def test_stored_twice_is_invalid() -> None:
    """A publisher that tried again: the other offset makes it no other publication."""
    story = good()
    story.offsets["b"] = 20
    assert check(ended(story.delivered("c1", "b")), BOUNDS).state == "invalid"


def test_nothing_delivered_is_unknown() -> None:
    """Silence is no proof."""
    assert check(Story().recorded(), BOUNDS).state == "unknown"


def test_a_torn_history_is_unknown() -> None:
    """The second one may have been in what is missing."""
    recorded = ended(good())
    recorded.cut_short.append("clients has no end")
    assert check(recorded, BOUNDS).state == "unknown"
