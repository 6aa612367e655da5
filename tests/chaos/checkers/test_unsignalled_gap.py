"""Unsignalled gap: a hole is seen, whoever knows of the publication, and only where nobody was told."""

from chaos.checkers.unsignalled_gap import check
from tests.chaos.histories import BOUNDS, Story, ended, good, places


def test_no_gap_is_valid() -> None:
    """Everybody got everything."""
    assert check(ended(good()), BOUNDS).state == "valid"


def test_a_gap_is_invalid() -> None:
    """Before and after came, between did not."""
    story = Story().connected("c1").subscribed("c1").published("a", "b", "c").delivered("c1", "a", "c")
    verdict = check(story.final("c1", "c").recorded(), BOUNDS)
    assert places(verdict) == [("c1", "b", "later ones came, this one did not, and no signal")]


def test_a_gap_is_invalid_though_the_publisher_never_heard() -> None:
    """Another client got it: it is stored, so everybody is owed it."""
    story = good().published("d", outcome="unknown").published("e")
    verdict = check(ended(story.delivered("c1", "d", "e").delivered("c2", "e"), "e"), BOUNDS)
    assert [(case.client, case.id) for case in verdict.evidence] == [("c2", "d")]


def test_an_unknown_one_that_nobody_saw_is_no_gap() -> None:
    """It was not stored."""
    story = good().published("d", outcome="unknown").published("e")
    assert check(ended(story.delivered("c1", "e").delivered("c2", "e"), "e"), BOUNDS).state == "valid"


def test_an_unknown_one_at_the_end_is_no_gap() -> None:
    """One client got it, the other may still have been about to."""
    story = good().published("d", outcome="unknown").delivered("c1", "d")
    assert check(ended(story), BOUNDS).state == "valid"


def test_a_signalled_gap_is_valid() -> None:
    """Told 2500 between, the client knows."""
    story = good().unsubscribed("c1", 2500).published("d").delivered("c2", "d").subscribed("c1")
    story.published("e").delivered("c1", "e").delivered("c2", "e")
    assert check(ended(story, "e"), BOUNDS).state == "valid"


def test_the_last_one_missing_is_no_gap() -> None:
    """That is a loss, and told as such."""
    story = Story().connected("c1").subscribed("c1").published("a", "b").delivered("c1", "a")
    assert check(story.final("c1", "b").recorded(), BOUNDS).state == "valid"


def test_what_a_recovery_left_out_is_told_as_that() -> None:
    """One fault of the cluster has one name."""
    story = good().closed("c1").published("d", "e").delivered("c2", "d", "e")
    story.connected("c1").recovered("c1", "c").delivered("c1", "e")
    assert check(ended(story, "e"), BOUNDS).state == "valid"


def test_a_gap_after_a_recovery_is_invalid() -> None:
    """The recovery answered before this was published: it is not to blame."""
    story = good().closed("c1").connected("c1").recovered("c1", "c").published("d", "e")
    story.delivered("c1", "e").delivered("c2", "d", "e")
    assert [case.id for case in check(ended(story, "e"), BOUNDS).evidence] == ["d"]


def test_nothing_to_judge_is_unknown() -> None:
    """No deliveries on history channels, no word about gaps."""
    assert check(Story().recorded(), BOUNDS).state == "unknown"
