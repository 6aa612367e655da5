"""Lost: every way of losing an accepted publication is seen, and nothing else is called a loss."""

import pytest

from chaos.checkers.lost import check
from chaos.history import Position, Subscribed
from tests.chaos.histories import BOUNDS, PLAIN, ROOM, Story, ended, good, places


def test_nothing_lost_is_valid() -> None:
    """Everybody got everything."""
    verdict = check(ended(good()), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 6.0)


@pytest.mark.parametrize(
    ("got", "where"), [(("b", "c"), "prefix"), (("a", "c"), "middle"), (("a", "b"), "postfix")]
)
def test_a_loss_is_invalid_wherever_it_is(got: tuple[str, ...], where: str) -> None:
    """The first, one between, and the last, which no later one gives away."""
    story = Story().connected("c1", "node-2").subscribed("c1").published("a", "b", "c")
    verdict = check(story.delivered("c1", *got).final("c1", "c").recorded(), BOUNDS)
    (missing,) = {"a", "b", "c"} - set(got)
    assert verdict.state == "invalid"
    assert places(verdict) == [("c1", missing, f"accepted, never delivered ({where})")]
    case = verdict.evidence[0]
    assert (case.node, case.channel, case.offset) == ("node-2", ROOM, story.offsets[missing])
    assert verdict.measured[f"{where}_count"] == 1.0
    assert "node-2 1" in verdict.summary


def test_everything_lost_at_one_client_is_invalid() -> None:
    """A client that got nothing at all, beside one that got all."""
    story = Story().connected("c1").connected("c2").subscribed("c1").subscribed("c2").published("a", "b")
    verdict = check(ended(story.delivered("c1", "a", "b")), BOUNDS)
    assert [(case.client, case.id) for case in verdict.evidence] == [("c2", "a"), ("c2", "b")]


def test_a_client_that_never_came_back_is_owed_all() -> None:
    """The run healed everything and waited: not being let in again is a loss too."""
    story = good().closed("c1").published("d").delivered("c2", "d")
    story.final("c1", "d", caught_up=False).final("c2", "d")
    assert [(case.client, case.id) for case in check(story.recorded(), BOUNDS).evidence] == [("c1", "d")]


def test_lost_over_a_recovery_is_invalid() -> None:
    """Recovery goes on from the position: what it leaves out is lost."""
    story = good().closed("c1").published("d", "e").delivered("c2", "d", "e")
    story.connected("c1").recovered("c1", "c").delivered("c1", "e")
    assert places(check(ended(story, "e"), BOUNDS)) == [("c1", "d", "accepted, never delivered (middle)")]


@pytest.mark.parametrize("signal", ["recovered: false", "2500", "3010"])
def test_what_was_signalled_is_not_lost(signal: str) -> None:
    """The client was told that something is missing, and goes on from a new position."""
    story = good()
    if signal == "2500":
        story.unsubscribed("c1", 2500).published("d").delivered("c2", "d").subscribed("c1")
    elif signal == "3010":
        story.closed("c1", 3010).published("d").delivered("c2", "d").connected("c1").subscribed("c1")
    else:
        story.closed("c1").published("d").delivered("c2", "d").connected("c1").recovered(
            "c1", "c", said=False
        )
    story.published("e").delivered("c1", "e").delivered("c2", "e")
    assert check(ended(story, "e"), BOUNDS).state == "valid"


def test_what_follows_a_signal_is_owed_again() -> None:
    """A signal excuses what came before it, not the rest of the run."""
    story = good().unsubscribed("c1", 2500).subscribed("c1").published("d", "e").delivered("c2", "d", "e")
    assert [case.id for case in check(ended(story.delivered("c1", "e"), "e"), BOUNDS).evidence] == ["d"]


def test_a_hole_before_a_signal_is_lost() -> None:
    """What came after it shows that it should have come before."""
    story = Story().connected("c1").subscribed("c1").published("a", "b").delivered("c1", "b")
    verdict = check(story.unsubscribed("c1", 2500).final("c1", "b").recorded(), BOUNDS)
    assert [case.id for case in verdict.evidence] == ["a"]


@pytest.mark.parametrize("outcome", ["unknown", "invoke", "fail"])
def test_what_was_not_accepted_is_not_lost(outcome: str) -> None:
    """Without an answer both are right; with a refusal there is nothing to lose."""
    story = good().published("d", outcome=outcome)  # type: ignore[arg-type]
    assert check(ended(story), BOUNDS).state == "valid"


def test_what_lies_before_the_subscription_is_not_owed() -> None:
    """A new subscription starts at the head."""
    story = Story().published("a").connected("c1").subscribed("c1").published("b").delivered("c1", "b")
    verdict = check(story.final("c1", "b").recorded(), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 1.0)


def test_hostile_clients_are_owed_nothing() -> None:
    """Who never reads cannot be delivered to."""
    story = good().client("bad", "hostile").connected("bad").subscribed("bad").published("d")
    story.delivered("c1", "d").delivered("c2", "d").final("bad", "d", caught_up=False)
    assert check(ended(story, "d"), BOUNDS).state == "valid"


def test_another_stream_owes_nothing_of_the_old_one() -> None:
    """After a new epoch the old offsets mean nothing."""
    story = good().closed("c1").connected("c1").recovered("c1", "c", said=False, epoch="e2")
    assert check(ended(story), BOUNDS).state == "valid"


@pytest.mark.parametrize(("behind", "state"), [(0, "valid"), (-3, "invalid")])
def test_a_position_ahead_of_the_channel_excuses_nothing(behind: int, state: str) -> None:
    """Other channels may have taken it that far; but what is sent since then is stored behind it."""
    story = Story().connected("c1").connected("c2", "node-2").subscribed("c1")
    story.head += 40
    story.subscribed("c2").head += behind
    story.published("a", "b").delivered("c1", "a", "b")
    if not behind:
        story.delivered("c2", "a", "b")
    verdict = check(ended(story, "b"), BOUNDS)
    assert verdict.state == state
    missed = [("c2", "a"), ("c2", "b")] if behind else []
    assert [(case.client, case.id) for case in verdict.evidence] == missed


def test_what_a_recovery_took_the_client_past_is_lost_though_it_is_told_later() -> None:
    """It was said to stand at the head, and got nothing of what lay before."""
    story = good().closed("c1").published("d", "e").delivered("c2", "d", "e").connected("c1")
    past = Position("e1", story.offsets["c"])
    story.tell(Subscribed(story.wait(0.1).t, "c1", ROOM, "e1", story.head, past, recovered=True))
    story.unsubscribed("c1", 2500).subscribed("c1")
    verdict = check(ended(story, "e"), BOUNDS)
    assert [(case.client, case.id) for case in verdict.evidence] == [("c1", "d"), ("c1", "e")]


def test_what_was_still_to_come_when_the_client_was_told_is_not_lost() -> None:
    """The recovery was answered with where it goes on from: what lies behind had not been promised yet."""
    story = good().closed("c1").published("d", "e").delivered("c2", "d", "e").connected("c1")
    story.recovered("c1", "c").closed("c1").connected("c1").recovered("c1", "c", said=False)
    assert check(ended(story, "e"), BOUNDS).state == "valid"


def test_a_client_that_is_served_in_another_epoch_lost_what_came_since() -> None:
    """Its node goes by another epoch than the one that publishes, left it out, and did not say so."""
    story = Story().connected("c1").subscribed("c1", epoch="e2").published("a", "b").final("c1", "b")
    verdict = check(story.recorded(), BOUNDS)
    assert places(verdict) == [("c1", name, "accepted, never delivered (postfix)") for name in ("a", "b")]


@pytest.mark.parametrize(("told", "state"), [("all", "valid"), ("nobody", "invalid")])
def test_a_new_epoch_has_to_be_told(told: str, state: str) -> None:
    """The store lost its data: who is told 2500 and subscribes anew has all that came since."""
    story = good().data_lost()
    if told == "all":
        story.unsubscribed("c1", 2500).unsubscribed("c2", 2500).subscribed("c1").subscribed("c2")
    story.published("d")
    if told == "all":
        story.delivered("c1", "d").delivered("c2", "d")
    assert check(ended(story, "d"), BOUNDS).state == state


def test_a_new_epoch_without_anything_in_it_owes_nothing() -> None:
    """What was accepted last is of the old one, and was there before the client was told."""
    story = good().data_lost().unsubscribed("c1", 2500).subscribed("c1").unsubscribed("c2", 2500)
    assert check(ended(story.subscribed("c2")), BOUNDS).state == "valid"


def test_an_end_that_nobody_saw_is_unknown() -> None:
    """Without a last word nobody knows what else came."""
    verdict = check(good().final("c1", "c").recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert "the end of 1 subscriptions was not seen" in verdict.summary


def test_a_torn_history_is_unknown() -> None:
    """What is not there may have been anything."""
    recorded = ended(good())
    recorded.cut_short.append("clients has no end")
    assert check(recorded, BOUNDS).state == "unknown"


def test_nothing_owed_is_unknown() -> None:
    """A run in which nothing was published proves nothing."""
    assert check(Story().connected("c1").subscribed("c1").final("c1").recorded(), BOUNDS).state == "unknown"


def _plain() -> Story:
    return Story().client("c1").connected("c1").subscribed("c1", PLAIN).wait(2.0)


def test_a_plain_publication_may_not_get_lost_for_nothing() -> None:
    """At most once is no licence to lose while all is well."""
    story = _plain().published("a", "b", channel=PLAIN).delivered("c1", "b", channel=PLAIN).wait(2.0)
    verdict = check(story.final("c1", "b", channel=PLAIN).recorded(), BOUNDS)
    assert places(verdict) == [("c1", "a", "a plain publication did not come though nothing was broken")]


@pytest.mark.parametrize(
    "excuse", ["fault", "just healed", "published just before", "reconnect", "just subscribed", "slow client"]
)
def test_a_plain_publication_may_get_lost_when_something_breaks(excuse: str) -> None:
    """A fault in force, its aftermath, and a client that comes or goes excuse it."""
    story = _plain()
    match excuse:
        case "fault":
            story.fault("node-kill").published("a", channel=PLAIN).healed("node-kill")
        case "just healed":
            story.fault("node-kill").healed("node-kill").published("a", channel=PLAIN)
        case "published just before":
            story.published("a", channel=PLAIN).fault("node-kill").healed("node-kill")
        case "reconnect":
            story.published("a", channel=PLAIN).closed("c1").connected("c1").subscribed("c1", PLAIN)
        case "just subscribed":
            story.closed("c1").connected("c1").subscribed("c1", PLAIN).published("a", channel=PLAIN)
        case _:
            story.client("c1", "slow").published("a", channel=PLAIN)
    story.wait(20.0).final("c1", channel=PLAIN)
    assert check(story.recorded(), BOUNDS).evidence == ()


@pytest.mark.parametrize(("others_s", "state"), [(0.5, "invalid"), (4.0, "valid")])
def test_what_was_still_on_its_way_when_a_client_left_is_late_and_not_lost(
    others_s: float, state: str
) -> None:
    """On a machine that is too busy everybody gets theirs seconds later, and some have gone by then."""
    story = _plain().client("c2").connected("c2").subscribed("c2", PLAIN).wait(2.0)
    published = story.published("a", channel=PLAIN).t
    arrivals = {published + others_s: "delivered", published + 3.0: "left"}
    for t, what in sorted(arrivals.items()):
        story.t = t
        if what == "left":
            story.closed("c1", -1)
        else:
            story.delivered("c2", "a", channel=PLAIN)
    story.connected("c1").subscribed("c1", PLAIN).wait(2.0)
    for name in ("c1", "c2"):
        story.final(name, "a", channel=PLAIN)
    assert check(story.recorded(), BOUNDS).state == state


@pytest.mark.parametrize(
    ("others", "state"),
    [
        # The node, and how long after the publication it came there; c1 was on node-1 and left after 1.5 s.
        ([("node-1", 0.1), ("node-2", 2.0)], "invalid"),
        ([("node-1", 0.1), ("node-1", 2.0)], "invalid"),
        ([("node-2", 0.1), ("node-3", 2.0)], "invalid"),
        ([("node-2", 0.1), ("node-1", 2.0)], "valid"),
        ([("node-2", 2.0), ("node-3", 2.2)], "valid"),
    ],
)
def test_a_straggler_excuses_no_loss_and_a_slow_node_is_only_late(
    others: list[tuple[str, float]], state: str
) -> None:
    """The first delivery counts, at the node of the client that left if anybody got it there."""
    story = _plain()
    for number, (node, _) in enumerate(others):
        name = f"other-{number}"
        story.client(name).connected(name, node).subscribed(name, PLAIN)
    published = story.wait(2.0).published("a", channel=PLAIN).t
    arrivals = [(published + after_s, f"other-{number}") for number, (_, after_s) in enumerate(others)]
    for t, name in sorted([*arrivals, (published + 1.5, "c1")]):
        story.t = t
        if name == "c1":
            story.closed("c1", -1).connected("c1", "node-2").subscribed("c1", PLAIN)
        else:
            story.delivered(name, "a", channel=PLAIN)
    story.wait(2.0)
    for name in ("c1", "other-0", "other-1"):
        story.final(name, "a", channel=PLAIN)
    assert check(story.recorded(), BOUNDS).state == state


def test_a_slow_client_beside_it_excuses_nothing() -> None:
    """Others must not notice."""
    story = _plain().fault("slow-clients", slow=True).published("a", channel=PLAIN).wait(2.0)
    assert check(story.final("c1", channel=PLAIN).recorded(), BOUNDS).state == "invalid"
