"""Late: slow deliveries, slow catching up and clients left behind are seen; the rest is not."""

import pytest

from chaos.checkers.late import caught_up, check
from chaos.checkers.verdict import Bounds
from chaos.history import Client, Published, Record, Sample
from tests.chaos.histories import BOUNDS, ZERO, Story, ended, good, places


def test_prompt_deliveries_are_valid() -> None:
    """And the figures say how prompt."""
    verdict = check(ended(good()), BOUNDS)
    assert verdict.state == "valid"
    assert 0.0 < verdict.measured["quiet_p50_s"] <= verdict.measured["quiet_p99_s"] < 0.1


def test_slow_deliveries_in_quiet_times_are_invalid() -> None:
    """Nothing was broken: nothing excuses them."""
    story = good().published("d").wait(0.6).delivered("c1", "d").delivered("c2", "d")
    verdict = check(ended(story, "d"), BOUNDS)
    assert verdict.state == "invalid"
    assert verdict.evidence[0].what.startswith("p99 of deliveries in quiet seconds is 0.6")
    assert check(ended(story, "d"), Bounds(delivery_p99_s=1.0)).state == "valid"


def _stall(excuse: str) -> Story:
    """Hundreds of prompt deliveries, and one that comes 25 s after it was accepted."""
    story = good().wait(2.0).published("d").delivered("c2", "d").wait(1.0)
    match excuse:
        case "a fault":
            story.fault("node-kill").healed("node-kill").wait(24.0)
        case "an absence":
            story.closed("c1").wait(24.0).connected("c1").recovered("c1", "c")
        case "a pause of the harness":
            story.wait(24.0).tell(Sample(story.t, "workload-1", "harness", loop_lag_s=20.0))
        case "no answer":
            story.records = [each for each in story.records if not _answer_to(each, "d")]
            story.wait(24.0)
        case _:
            story.wait(24.0)
    story.delivered("c1", "d")
    for number in range(200):
        story.published(f"m{number}").delivered("c1", f"m{number}").delivered("c2", f"m{number}")
    return story


def _answer_to(record: Record, name: str) -> bool:
    return isinstance(record, Published) and (record.id, record.phase) == (name, "ok")


def test_a_single_delivery_that_stalls_is_invalid() -> None:
    """Hundreds of others do not make up for it."""
    verdict = check(ended(_stall("nothing"), "m199"), BOUNDS)
    assert places(verdict) == [("c1", "d", "came 25.0 s after it was accepted")]


@pytest.mark.parametrize("excuse", ["a fault", "an absence", "a pause of the harness", "no answer"])
def test_a_delivery_that_was_held_up_is_no_stall(excuse: str) -> None:
    """Something was broken, the client was away, nobody looked, or it was stored only then."""
    assert check(ended(_stall(excuse), "m199"), Bounds(recovery_p99_s=30.0)).state == "valid"


def test_slow_deliveries_while_a_fault_is_in_force_are_not_judged_as_quiet() -> None:
    """They belong to catching up, which has its own bound."""
    story = good().wait(2.0).fault("node-kill node-1").published("d").wait(4.0)
    story.delivered("c1", "d").delivered("c2", "d").healed("node-kill node-1")
    assert check(ended(story, "d"), BOUNDS).state == "valid"


@pytest.mark.parametrize(("kept_away", "state"), [(True, "valid"), (False, "invalid")])
def test_what_a_client_missed_while_a_fault_kept_it_away_is_not_judged_as_quiet(
    kept_away: bool, state: str
) -> None:
    """SDKs wait longer after each attempt, until long after the healing; who stayed has no such excuse."""
    story = good().wait(2.0).fault("nats-kill")
    if kept_away:
        story.closed("c1")
    story.wait(2.0).healed("nats-kill").wait(7.0).published("d").delivered("c2", "d").wait(1.5)
    if kept_away:
        story.connected("c1").recovered("c1", "c")
    assert check(ended(story.delivered("c1", "d"), "d"), Bounds(caught_up_s=20)).state == state


def _crash(healed_after_s: float, delivered_after_s: float) -> Story:
    story = good().wait(2.0).fault("node-kill node-1").published("d").wait(healed_after_s)
    story.healed("node-kill node-1").wait(delivered_after_s - healed_after_s)
    return story.delivered("c1", "d").delivered("c2", "d")


def test_catching_up_too_late_after_the_healing_is_invalid() -> None:
    """A partition holds things up as long as it lasts: then it has to be quick."""
    recorded = ended(_crash(5.0, 16.0), "d")
    verdict = check(recorded, BOUNDS)
    assert verdict.state == "invalid"
    assert "late deliveries until 11.0 s after the heal of node-kill node-1" in verdict.evidence[0].what
    assert verdict.evidence[0].t == pytest.approx(2.2, abs=0.05)
    assert [after for _, after in caught_up(recorded, BOUNDS)] == [pytest.approx(11.02, abs=0.02)]
    assert check(ended(_crash(5.0, 14.0), "d"), BOUNDS).state == "valid"


def test_catching_up_can_count_from_the_injection() -> None:
    """A killed node is not waited for: clients go elsewhere at once."""
    bounds = Bounds(caught_up_from="inject")
    assert check(ended(_crash(9.0, 9.5), "d"), bounds).state == "valid"
    assert check(ended(_crash(9.0, 11.0), "d"), bounds).state == "invalid"


def test_a_fault_that_was_never_healed_counts_from_its_injection() -> None:
    """There is no other time to count from."""
    story = good().wait(2.0).fault("node-kill").published("d").wait(11.0)
    assert check(ended(story.delivered("c1", "d"), "d"), BOUNDS).state == "invalid"


@pytest.mark.parametrize(("code", "state"), [(-1, "valid"), (0, "invalid"), (3001, "invalid")])
def test_a_client_that_went_by_itself_made_itself_wait(code: int, state: str) -> None:
    """The schedule moves clients, also while something is broken; being cut off is the cluster's doing."""
    story = (
        good().wait(2.0).fault("node-kill").wait(11.0).closed("c1", code).published("d").delivered("c2", "d")
    )
    story.wait(1.5).connected("c1").recovered("c1", "c").delivered("c1", "d").healed("node-kill")
    assert check(ended(story, "d"), Bounds(caught_up_from="inject")).state == state


def _moved(refused_s: float) -> Story:
    """A client that leaves by itself, and is refused for so long."""
    story = good().wait(2.0).closed("c1", -1).published("d").delivered("c2", "d").wait(0.1)
    if refused_s:
        story.closed("c1", reason="HTTP 503").wait(refused_s)
    return story.connected("c1", "node-2").recovered("c1", "c").delivered("c1", "d")


def test_a_client_that_went_by_itself_is_not_kept_away_by_itself() -> None:
    """Where it is refused its own doing ends: from there on it has to be let in like any other."""
    bounds = Bounds(delivery_p99_s=20.0)
    assert check(ended(_moved(0.0), "d"), bounds).measured["recovery_p99_s"] == 0.0
    assert check(ended(_moved(9.0), "d"), bounds).state == "valid"
    verdict = check(ended(_moved(11.0), "d"), bounds)
    assert [case.what for case in verdict.evidence] == [
        "p99 of coming back after being cut off is 11.030 s, 10 at most"
    ]


def test_what_a_fault_refused_to_a_client_that_went_by_itself_is_late() -> None:
    """The fault held it up, and not its wish to go elsewhere."""
    story = good().wait(2.0).fault("node-kill").closed("c1", -1).published("d").delivered("c2", "d").wait(0.1)
    story.closed("c1", reason="ECONNREFUSED").healed("node-kill").wait(12.0)
    story.connected("c1", "node-2").recovered("c1", "c").delivered("c1", "d")
    found = caught_up(ended(story, "d"), BOUNDS)
    assert [after for _, after in found] == [pytest.approx(12.0, abs=0.1)]


def _cut_off(away_s: float, code: int = 0) -> Story:
    return good().wait(2.0).closed("c1", code).wait(away_s).connected("c1").recovered("c1", "c")


def test_coming_back_too_late_is_invalid() -> None:
    """From losing the session to having the subscription again."""
    verdict = check(ended(_cut_off(11.0)), BOUNDS)
    assert [case.what for case in verdict.evidence] == [
        "p99 of coming back after being cut off is 11.030 s, 10 at most"
    ]
    assert check(ended(_cut_off(9.0)), BOUNDS).measured["recovery_p99_s"] == pytest.approx(9.03)
    assert check(ended(_cut_off(11.0, -1)), BOUNDS).state == "valid"


def test_nobody_can_come_back_while_nothing_is_there() -> None:
    """Coming back counts from the healing, unless others were there to go to."""
    story = good().wait(2.0).fault("all down").closed("c1").wait(11.0).healed("all down")
    recorded = ended(story.connected("c1").recovered("c1", "c"))
    assert check(recorded, BOUNDS).state == "valid"
    assert check(recorded, Bounds(caught_up_from="inject")).state == "invalid"


def test_having_been_away_earlier_excuses_no_waiting_now() -> None:
    """A move long before, or long after, has nothing to do with what a fault held up."""
    story = good().closed("c1", -1).connected("c1").recovered("c1", "c").wait(2.0).fault("node-kill")
    story.published("d").wait(12.0).delivered("c1", "d").delivered("c2", "d").healed("node-kill")
    story.closed("c1", -1).connected("c1").recovered("c1", "d")
    assert check(ended(story, "d"), Bounds(caught_up_from="inject")).state == "invalid"


def test_a_fault_at_another_time_excuses_no_slow_return() -> None:
    """Neither one that was healed before nor one that came after."""
    story = (
        good().fault("before").healed("before").closed("c1").wait(11.0).connected("c1").recovered("c1", "c")
    )
    story.wait(1.0).fault("after").wait(1.0).healed("after")
    assert check(ended(story), BOUNDS).measured["recovery_p99_s"] == pytest.approx(11.03)


def test_each_disturbance_is_judged_by_what_it_held_up() -> None:
    """The first fault's messages are not the second's."""
    story = _crash(1.0, 3.0).wait(20.0).fault("nats-restart").published("e").wait(2.0)
    recorded = ended(story.delivered("c1", "e").delivered("c2", "e").wait(1.0).healed("nats-restart"), "e")
    assert [round(after, 1) for _, after in caught_up(recorded, BOUNDS)] == [2.0, 0.0]


@pytest.mark.parametrize(
    ("hit", "between_s", "held"),
    [("c1", 4.0, [0.0, 5.0]), ("c2", 4.0, [13.1, 0.0]), ("c1", 12.0, [21.1, 0.0])],
)
def test_a_client_that_is_hit_again_waits_for_the_last_one(
    hit: str, between_s: float, held: list[float]
) -> None:
    """It has its time anew, unless another client was hit, or it should have been there by then."""
    story = good().wait(2.0).fault("nats-kill").closed("c1").published("d").delivered("c2", "d")
    story.healed("nats-kill").wait(between_s).fault("node-kill").closed(hit).wait(4.0).healed("node-kill")
    story.wait(5.0).connected("c1").recovered("c1", "c").delivered("c1", "d")
    found = caught_up(ended(story, "d"), BOUNDS)
    assert [after for _, after in found] == [pytest.approx(each, abs=0.1) for each in held]


@pytest.mark.parametrize(
    ("back", "state"),
    [("after the first", "invalid"), ("after the second", "valid"), ("never away", "invalid")],
)
def test_what_a_standing_subscription_is_not_given_stays_with_the_first_fault(back: str, state: str) -> None:
    """Only who is on its way back is kept by the next fault: a node that withholds has no such excuse."""
    bounds = Bounds(caught_up_s=20.0, recovery_p99_s=30.0)
    story = good().wait(2.0).fault("nats-kill")
    if back != "never away":
        story.closed("c1")
    story.published("d").delivered("c2", "d").wait(8.0).healed("nats-kill").wait(1.0)
    if back == "after the first":
        story.connected("c1").recovered("c1", "c")
    story.wait(17.0).fault("node-kill").closed("c1").wait(1.0).healed("node-kill").wait(1.0)
    story.connected("c1").recovered("c1", "c").wait(17.0).delivered("c1", "d")
    verdict = check(ended(story, "d"), bounds)
    assert verdict.state == state
    if state == "invalid":
        assert "late deliveries until 37.1 s after the heal of nats-kill" in verdict.evidence[0].what


def test_refusals_excuse_nothing_that_was_due_before_the_client_was_away() -> None:
    """The next fault cut it off and refused it again: until then it was subscribed, and got nothing."""
    story = good().wait(2.0).fault("nats-kill").published("d").delivered("c2", "d").healed("nats-kill")
    story.wait(4.0).fault("node-kill").closed("c1").wait(1.0).closed("c1").wait(3.0).healed("node-kill")
    story.wait(5.0).connected("c1").recovered("c1", "c").delivered("c1", "d")
    found = caught_up(ended(story, "d"), BOUNDS)
    assert [after for _, after in found] == [pytest.approx(13.1, abs=0.1), 0.0]


def test_a_client_left_behind_is_invalid() -> None:
    """The run waited for it, and it did not come."""
    story = good().final("c1", "c", caught_up=False).final("c2", "c")
    verdict = check(story.recorded(), BOUNDS)
    assert [(case.client, case.id) for case in verdict.evidence] == [("c1", "c")]
    assert verdict.evidence[0].t == pytest.approx(story.t - ZERO - 0.01)
    assert verdict.state == "invalid"


def test_a_client_that_was_never_let_in_is_invalid() -> None:
    """Those who never connected are counted too."""
    story = good()
    story.tell(Client(story.t, "c3"))
    story.tell(Client(story.t, "bad", "hostile"))
    verdict = check(ended(story), BOUNDS)
    assert [(case.client, case.what) for case in verdict.evidence] == [("c3", "was never subscribed")]


def test_slow_clients_may_be_late() -> None:
    """It is they who do not read."""
    story = good().client("slow", "slow").subscribed("slow").published("d")
    story.delivered("c1", "d").delivered("c2", "d").wait(30.0).delivered("slow", "d")
    assert check(ended(story, "d"), BOUNDS).state == "valid"


def test_nothing_delivered_is_unknown() -> None:
    """Nothing was late, nothing was in time."""
    assert check(Story().recorded(), BOUNDS).state == "unknown"
