"""Stretches: what ends what a client is owed, what does not, and where it begins again."""

import pytest

from chaos.checkers.stretches import Stretch, stretches
from tests.chaos.histories import PLAIN, ROOM, Story, good


def _of(story: Story, channel: str = ROOM) -> list[tuple[str, int, int, int, str]]:
    found: list[Stretch] = stretches(story.recorded().streams["c1", channel])
    return [(one.epoch, one.after, one.first, one.last, one.end) for one in found]


@pytest.mark.parametrize("signal", ["2500", "3010"])
def test_a_signal_ends_a_stretch_though_nothing_follows(signal: str) -> None:
    """Who is told and never comes back is not owed what came then."""
    story = good()
    if signal == "2500":
        story.unsubscribed("c1", 2500)
    else:
        story.closed("c1", 3010)
    assert _of(story.published("d").final("c1", "d", caught_up=False)) == [("e1", 10, 0, 3, "signalled")]


def test_a_recovery_after_a_signal_promises_anew() -> None:
    """Told that something is missing, then told that nothing is: from the asked position on, all is owed."""
    story = (
        good().unsubscribed("c1", 2500).published("d").recovered("c1", "b").delivered("c1", "d").final("c1")
    )
    assert _of(story) == [("e1", 10, 0, 3, "signalled"), ("e1", 12, 3, 4, "final")]


@pytest.mark.parametrize("code", [0, -1, 3001, 3008, 3012])
def test_other_ends_of_a_session_are_no_signals(code: int) -> None:
    """The client comes back from its position, and nothing may be missing."""
    story = good().closed("c1", code).connected("c1").recovered("c1", "c").published("d").delivered("c1", "d")
    assert _of(story.final("c1", "d")) == [("e1", 10, 0, 4, "final")]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, [("e1", 10, 0, 3, "final")]),
        (False, [("e1", 10, 0, 3, "signalled"), ("e1", 14, 3, 3, "final")]),
    ],
)
def test_only_who_is_told_is_told(said: bool | None, found: list[object]) -> None:
    """An answer to a position that says nothing of a recovery is no signal: a head alone tells of no gap."""
    story = good().closed("c1").connected("c1").published("d").recovered("c1", "c", said=said)
    assert _of(story.final("c1", "d")) == found


def test_leaving_a_channel_by_oneself_is_no_signal() -> None:
    """As with a session."""
    story = good().unsubscribed("c1", -1).recovered("c1", "c").final("c1", "c")
    assert _of(story) == [("e1", 10, 0, 3, "final")]


@pytest.mark.parametrize(
    ("tell", "end"),
    [
        (lambda story: story.closed("c1", -1), "left"),
        (lambda story: story.unsubscribed("c1", -1), "left"),
        (lambda story: story.closed("c1"), "unknown"),
        (lambda story: story.closed("c1", -1).connected("c1").closed("c1"), "unknown"),
        (lambda story: story, "unknown"),
    ],
)
def test_without_a_last_word_the_last_thing_seen_decides(tell: object, end: str) -> None:
    """Who left is owed nothing more; who disappeared may have got more than was written down."""
    assert callable(tell)
    assert _of(tell(good())) == [("e1", 10, 0, 3, end)]


def test_a_new_epoch_begins_a_new_stretch() -> None:
    """Said to be recovered or not: offsets of two streams do not compare."""
    story = good().closed("c1").connected("c1").recovered("c1", "c", epoch="e2").final("c1")
    assert [(epoch, end) for epoch, _, _, _, end in _of(story)] == [("e1", "signalled"), ("e2", "final")]


def test_plain_channels_have_none() -> None:
    """They promise nothing that could be owed from a position."""
    assert _of(Story().subscribed("c1", PLAIN).delivered("c1", "a", channel=PLAIN), PLAIN) == []
