"""Invented: what nobody published, not there, not yet, or is something else elsewhere."""

import pytest

from chaos.checkers.invented import check
from chaos.history import Delivered, Published
from tests.chaos.histories import BOUNDS, PLAIN, ROOM, Story, ended, good


def test_what_was_published_is_valid() -> None:
    """Whether or not its publisher heard of it."""
    story = good().published("d", outcome="unknown").published("e", outcome="invoke")
    assert check(ended(story.delivered("c1", "d", "e")), BOUNDS).state == "valid"


def _nobodys(story: Story) -> Story:
    return story.delivered("c1", "ghost")


def _elsewheres(story: Story) -> Story:
    return story.published("d", channel=PLAIN).delivered("c1", "d")


def _refused(story: Story) -> Story:
    return story.published("d", outcome="fail").delivered("c1", "d")


def _early(story: Story) -> Story:
    story.tell(Delivered(story.t, "c1", ROOM, "d", 14))
    return story.wait(1.0).published("d")


def _of_two(story: Story) -> Story:
    story.offsets["d"] = story.offsets["c"]
    story.tell(Published(story.t, "invoke", "d", "p", ROOM))
    return story.delivered("c1", "d")


def _elsewhere_in_stream(story: Story) -> Story:
    story.published("d").offsets["d"] += 5
    return story.delivered("c1", "d")


def _of_another_epoch(story: Story) -> Story:
    return story.closed("c1").connected("c1").subscribed("c1", epoch="e2").published("d").delivered("c1", "d")


@pytest.mark.parametrize(
    ("tell", "what"),
    [
        (_nobodys, "nobody published it"),
        (_elsewheres, "was published to plain:1"),
        (_refused, "its publisher was told that it surely failed"),
        (_early, "came 1.010 s before it was sent"),
        (_of_two, "at this offset others have c"),
        (_elsewhere_in_stream, "its publisher was told offset 14"),
        (_of_another_epoch, "its publisher was told epoch e1, not e2"),
    ],
)
def test_an_invention_is_invalid(tell: object, what: str) -> None:
    """Each kind by its name."""
    assert callable(tell)
    verdict = check(ended(tell(good())), BOUNDS)
    assert verdict.state == "invalid"
    assert [case.what for case in verdict.evidence] == [what]
    assert verdict.evidence[0].client == "c1"


def test_what_is_there_twice_since_data_was_lost_is_valid() -> None:
    """Its publisher had no answer and tried again: it is in both epochs, at offsets of its own."""
    story = good().published("d", outcome="invoke").delivered("c1", "d").data_lost()
    story.tell(Published(story.wait(0.1).t, "ok", "d", "p", ROOM, "node-1", 1, "e2"))
    assert check(ended(story.unsubscribed("c1", 2500).subscribed("c1")), BOUNDS).state == "valid"


def test_clients_that_disagree_about_an_offset_are_seen() -> None:
    """No publisher needs to know: two clients got different things in one place."""
    story = good().published("d", "e", outcome="unknown")
    story.offsets["e"] = story.offsets["d"]
    verdict = check(ended(story.delivered("c1", "d").delivered("c2", "e")), BOUNDS)
    assert [case.what for case in verdict.evidence] == ["at this offset others have d"]


def test_what_only_a_torn_history_could_explain_is_unknown() -> None:
    """Its publisher may have died before it wrote it down."""
    recorded = ended(good().delivered("c1", "ghost"))
    recorded.cut_short.append("publishers has no end")
    assert check(recorded, BOUNDS).state == "unknown"


def test_nothing_delivered_is_unknown() -> None:
    """Silence invents nothing, and proves nothing."""
    assert check(Story().recorded(), BOUNDS).state == "unknown"
