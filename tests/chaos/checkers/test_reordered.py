"""Reordered: older after newer is seen; repetitions and new positions are not mistaken for it."""

from chaos.checkers.reordered import check
from chaos.history import Published
from tests.chaos.histories import BOUNDS, PLAIN, ROOM, Story, ended, good, places


def test_in_order_is_valid() -> None:
    """As published, so delivered."""
    assert check(ended(good()), BOUNDS).state == "valid"


def test_older_after_newer_is_invalid() -> None:
    """By offset, on one channel of one client."""
    story = Story().connected("c1").subscribed("c1").published("a", "b", "c").delivered("c1", "a", "c", "b")
    verdict = check(story.final("c1", "c").recorded(), BOUNDS)
    assert verdict.state == "invalid"
    assert places(verdict) == [("c1", "b", "came after offset 13")]


def test_out_of_order_over_a_recovery_is_invalid() -> None:
    """Live ones that overtake what is recovered."""
    story = good().closed("c1").published("d").connected("c1").recovered("c1", "c").published("e")
    assert [case.id for case in check(story.delivered("c1", "e", "d").recorded(), BOUNDS).evidence] == ["d"]


def test_a_repetition_is_not_a_reordering() -> None:
    """It has a verdict of its own."""
    assert check(ended(good().delivered("c1", "a")), BOUNDS).state == "valid"


def test_a_new_stream_starts_anew() -> None:
    """After an explicit signal and a new epoch, offsets may be lower."""
    story = good().closed("c1").connected("c1").recovered("c1", "c", said=False, epoch="e2")
    story.offsets["d"] = 1
    story.tell(Published(story.t, "invoke", "d", "p", ROOM))
    story.tell(Published(story.t, "ok", "d", "p", ROOM, "", 1, "e2"))
    assert check(ended(story.delivered("c1", "d")), BOUNDS).state == "valid"


def test_channels_and_clients_do_not_wait_for_each_other() -> None:
    """Order is a channel's and a client's."""
    story = Story().connected("c1").subscribed("c1").subscribed("c1", PLAIN)
    story.published("a").published("b", channel=PLAIN)
    story.delivered("c1", "b", channel=PLAIN).delivered("c1", "a")
    assert check(story.final("c1", "a").recorded(), BOUNDS).state == "valid"


def test_a_plain_channel_keeps_the_order_of_each_publisher() -> None:
    """Of one publisher in order, of two in any."""
    story = Story().connected("c1").subscribed("c1", PLAIN).published("a", "b", channel=PLAIN)
    story.published("x", channel=PLAIN, publisher="q")
    assert check(story.delivered("c1", "x", "a", "b", channel=PLAIN).recorded(), BOUNDS).state == "valid"
    story = Story().connected("c1").subscribed("c1", PLAIN).published("a", "b", channel=PLAIN)
    verdict = check(story.delivered("c1", "b", "a", channel=PLAIN).recorded(), BOUNDS)
    assert places(verdict) == [("c1", "a", "came after the publisher's later b")]


def test_what_had_no_answer_may_come_late() -> None:
    """A publication that hung in a node was never said to be accepted: those after it did not wait for it."""
    story = Story().connected("c1").subscribed("c1", PLAIN)
    story.published("a", channel=PLAIN, outcome="unknown").published("b", channel=PLAIN)
    assert check(story.delivered("c1", "b", "a", channel=PLAIN).recorded(), BOUNDS).state == "valid"


def _overtaken(pause_s: float, *, broken: bool = False) -> Story:
    """A publisher goes to another node after a pause, and what it sent there comes first."""
    story = Story().connected("c1").subscribed("c1", PLAIN)
    if broken:
        story.fault("link-slow node-1")
    story.published("a", channel=PLAIN).wait(pause_s)
    story.tell(Published(story.t + 0.01, "invoke", "b", "p", PLAIN, "node-2"))
    story.tell(Published(story.t + 0.02, "ok", "b", "p", PLAIN, "node-2"))
    return story.wait(1).delivered("c1", "b", "a", channel=PLAIN)


def test_another_node_may_be_quicker() -> None:
    """A publisher that goes to another node can overtake what the first one still has on its way."""
    assert check(_overtaken(0.1).recorded(), BOUNDS).state == "valid"
    assert check(_overtaken(5, broken=True).recorded(), BOUNDS).state == "valid"


def test_another_node_keeps_the_order_once_the_first_has_delivered() -> None:
    """While nothing is broken, a node has nothing on its way any more after a moment."""
    verdict = check(_overtaken(5).recorded(), BOUNDS)
    assert places(verdict) == [("c1", "a", "came after the publisher's later b")]


def test_a_repetition_on_a_plain_channel_is_not_a_reordering() -> None:
    """Nor is what nobody published."""
    story = Story().connected("c1").subscribed("c1", PLAIN).published("a", "b", channel=PLAIN)
    story.delivered("c1", "a", "b", "a", "ghost", channel=PLAIN)
    assert check(story.recorded(), BOUNDS).state == "valid"


def test_accepted_below_what_was_answered_before_is_invalid() -> None:
    """The stream itself is out of order, though every client sees it the same way."""
    story = good()
    story.head = 5
    verdict = check(ended(story.published("d")), BOUNDS)
    assert [(case.id, case.offset) for case in verdict.evidence] == [("d", 6)]
    assert 0.0 < (verdict.evidence[0].t or 0.0) < 1.0


def test_nothing_delivered_is_unknown() -> None:
    """Silence has no order."""
    assert check(Story().recorded(), BOUNDS).state == "unknown"
