"""False recovery: `recovered: true` is believed only if nothing is missing."""

import pytest

from chaos.checkers.false_recovered import check
from chaos.checkers.verdict import Bounds
from tests.chaos.histories import BOUNDS, Story, ended, good, places


def _away() -> Story:
    return good().closed("c1").published("d", "e").delivered("c2", "d", "e").connected("c1")


def test_a_complete_recovery_is_valid() -> None:
    """All that was missed came."""
    verdict = check(ended(_away().recovered("c1", "c").delivered("c1", "d", "e"), "e"), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 1.0)


@pytest.mark.parametrize(("got", "missing"), [((), ["d", "e"]), (("d",), ["e"]), (("e",), ["d"])])
def test_a_recovery_that_left_something_out_is_invalid(got: tuple[str, ...], missing: list[str]) -> None:
    """The first of them, the last, and all: each was there when the answer was given."""
    verdict = check(ended(_away().recovered("c1", "c").delivered("c1", *got), "e"), BOUNDS)
    assert verdict.state == "invalid"
    assert places(verdict) == [("c1", name, "recovered from 13 was said to be complete") for name in missing]


def test_an_answer_without_a_word_promises_as_much() -> None:
    """The client asked for what it had missed, and was not told that it would not get it."""
    verdict = check(ended(_away().recovered("c1", "c", said=None).delivered("c1", "e"), "e"), BOUNDS)
    assert places(verdict) == [("c1", "d", "recovered from 13 was answered without a word about that")]
    silent = _away().recovered("c1", "c", said=None).delivered("c1", "d", "e")
    assert check(ended(silent, "e"), BOUNDS).state == "valid"


def test_an_unknown_one_at_the_end_is_not_claimed() -> None:
    """Another client has it, but nothing says that it was there when the answer was given."""
    story = good().closed("c1").published("d", outcome="unknown").delivered("c2", "d").connected("c1")
    assert check(ended(story.recovered("c1", "c"), "c"), BOUNDS).state == "valid"


def test_a_recovery_that_is_refused_for_nothing_is_invalid() -> None:
    """Who always says that something is missing is never wrong, and of no use."""
    refused = ended(_away().recovered("c1", "c", said=False), "e")
    verdict = check(refused, BOUNDS)
    assert places(verdict) == [("c1", "", "recovery from 13 was refused, 2 were missed")]
    assert check(refused, Bounds(refusals_max=1.0)).state == "valid"


def test_what_the_channel_does_not_keep_may_be_refused() -> None:
    """The truth is no fault: more was missed than it has."""
    refused = ended(_away().recovered("c1", "c", said=False), "e")
    assert check(refused, Bounds(kept_publications=1)).state == "valid"


def test_a_position_of_another_epoch_may_be_refused() -> None:
    """The data of the old one is lost."""
    story = good().closed("c1").data_lost().connected("c1").recovered("c1", "c", said=False, epoch="e2")
    assert check(ended(story), BOUNDS).state == "valid"


def test_a_live_gap_is_told_as_that() -> None:
    """It was missed before the client asked from behind it."""
    story = Story().connected("c1").subscribed("c1").published("a", "b").delivered("c1", "b")
    story.closed("c1").connected("c1").recovered("c1", "b").final("c1", "b")
    assert check(story.recorded(), BOUNDS).state == "valid"


def test_recovering_out_of_another_stream_is_invalid() -> None:
    """The old stream is gone: nothing can be recovered from it."""
    verdict = check(ended(good().closed("c1").connected("c1").recovered("c1", "c", epoch="e2")), BOUNDS)
    assert [case.what for case in verdict.evidence] == ["asked for epoch e1, recovered in e2"]


def test_a_first_subscription_from_a_known_position_is_judged_too() -> None:
    """A client may bring its position from an earlier life."""
    story = Story().published("a", "b").connected("c1").recovered("c1", 10).delivered("c1", "b")
    assert [case.id for case in check(story.final("c1", "b").recorded(), BOUNDS).evidence] == ["a"]


def test_no_recovery_is_unknown_where_one_is_asked_for() -> None:
    """A crash of a node from which nobody recovered was none."""
    assert check(ended(good()), Bounds(requires=frozenset({"false_recovered"}))).state == "unknown"
    assert check(ended(good()), BOUNDS).state == "valid"
