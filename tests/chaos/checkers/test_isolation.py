"""Isolation: what slow clients cost others is seen; what faults cost is not blamed on them."""

from chaos.checkers.isolation import check
from tests.chaos.histories import BOUNDS, Story


def _beside(lag_s: float, *, seconds: int = 5) -> Story:
    """One publication a second, first alone, then beside slow clients."""
    story = Story().client("c1").client("slow", "slow").connected("c1").connected("slow").subscribed("c1")
    for number in range(seconds):
        story.wait(1.0).published(f"before-{number}").delivered("c1", f"before-{number}")
    story.fault("slow-clients", slow=True)
    for number in range(seconds):
        story.wait(1.0).published(f"beside-{number}").wait(lag_s).delivered("c1", f"beside-{number}")
    return story.wait(1.0)


def test_healthy_clients_that_do_not_notice_are_valid() -> None:
    """As quick as before."""
    verdict = check(_beside(0.0).healed("slow-clients").recorded(), BOUNDS)
    assert verdict.state == "valid"
    assert verdict.measured["p99_beside_s"] < 0.1


def test_healthy_clients_that_wait_for_slow_ones_are_invalid() -> None:
    """Many times slower than before, and over what never matters."""
    verdict = check(_beside(0.5).healed("slow-clients").recorded(), BOUNDS)
    assert verdict.state == "invalid"
    assert "p99 of healthy clients beside slow-clients is 0.52" in verdict.evidence[0].what


def test_a_healthy_client_that_loses_its_session_is_invalid() -> None:
    """Closing the wrong one is no isolation."""
    story = _beside(0.0).closed("slow", 3008).closed("c1", 3008).healed("slow-clients")
    verdict = check(story.recorded(), BOUNDS)
    assert [(case.client, case.what) for case in verdict.evidence] == [
        ("c1", "a healthy client lost its session (3008 )")
    ]


def test_sessions_lost_at_other_times_are_not_blamed_on_slow_clients() -> None:
    """Before they came, after they went, and while another fault was in force."""
    story = Story().client("c1").connected("c1").subscribed("c1").closed("c1").wait(1.0).connected("c1")
    story.subscribed("c1").wait(2.0).published("a").delivered("c1", "a").fault("slow-clients", slow=True)
    story.wait(2.0).published("b").delivered("c1", "b").wait(2.0).fault("node-kill").closed("c1")
    story.wait(1.0).healed("node-kill").wait(9.0).healed("slow-clients").closed("c1")
    assert check(story.recorded(), BOUNDS).evidence == ()


def test_one_crowd_of_slow_clients_is_not_the_measure_for_the_next() -> None:
    """What was slow beside the first is no reason for the second to be."""
    story = _beside(0.4).healed("slow-clients").wait(1.0).fault("never-read", slow=True)
    for number in range(5):
        story.wait(1.0).published(f"again-{number}").wait(0.4).delivered("c1", f"again-{number}")
    verdict = check(story.wait(1.0).healed("never-read").recorded(), BOUNDS)
    assert [case.what.split(" is ")[0] for case in verdict.evidence] == [
        "p99 of healthy clients beside slow-clients",
        "p99 of healthy clients beside never-read",
    ]
    assert [round(case.t or 0.0) for case in verdict.evidence] == [5, 14]


def test_only_what_was_published_beside_them_counts() -> None:
    """Slow before and slow after they were there is no sign of them."""
    story = Story().client("c1").connected("c1").subscribed("c1").wait(2.0)
    for at, lag_s in enumerate((0.0, 0.0, 0.0, 0.9)):
        story.published(f"a{at}").wait(lag_s).delivered("c1", f"a{at}").wait(1.0 - lag_s)
    story.wait(2.0).fault("slow-clients", slow=True).wait(2.0).published("b").delivered("c1", "b").wait(2.0)
    story.healed("slow-clients").wait(2.0).published("c").wait(0.9).delivered("c1", "c")
    verdict = check(story.recorded(), BOUNDS)
    assert (verdict.state, verdict.measured["judged"]) == ("valid", 1.0)
    assert verdict.measured["p99_before_s"] > 0.9


def test_going_by_oneself_is_valid() -> None:
    """The schedule moves clients."""
    assert check(_beside(0.0).closed("c1", -1).healed("slow-clients").recorded(), BOUNDS).state == "valid"


def test_what_another_fault_did_is_unknown() -> None:
    """All seconds were disturbed: nothing can be said about slow clients."""
    story = Story().client("c1").connected("c1").subscribed("c1").fault("node-kill")
    story.fault("slow-clients", slow=True).published("a").wait(2.0).delivered("c1", "a")
    verdict = check(story.healed("slow-clients").healed("node-kill").recorded(), BOUNDS)
    assert verdict.state == "unknown"
    assert "nothing was delivered undisturbed" in verdict.summary


def test_nothing_to_compare_with_is_unknown() -> None:
    """Slow beside them, and no word on how it was before."""
    story = Story().client("c1").connected("c1").subscribed("c1").wait(1.0).fault("slow", slow=True).wait(1.0)
    story.published("a").wait(0.4).delivered("c1", "a").wait(2.0).healed("slow")
    assert check(story.recorded(), BOUNDS).state == "unknown"


def test_no_slow_clients_is_valid() -> None:
    """Unless the experiment asks for them."""
    assert check(Story().recorded(), BOUNDS).state == "valid"
