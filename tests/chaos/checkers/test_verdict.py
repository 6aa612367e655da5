"""Verdicts: composed by the worst, few cases out of many, and words for people."""

import msgspec
import pytest

from chaos.checkers.verdict import Bounds, Case, Cases, State, Verdict, conclude, worst
from tests.chaos.histories import BOUNDS, Story


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["valid", "valid"], "valid"),
        (["valid", "unknown"], "unknown"),
        (["unknown", "invalid", "valid"], "invalid"),
        ([], "unknown"),
    ],
)
def test_the_worst_decides(states: list[State], whole: State) -> None:
    """One no is a no; a run that nobody judged is not a yes."""
    assert worst(Verdict("x", state, "") for state in states) == whole


def test_many_cases_are_counted_and_few_are_kept() -> None:
    """A million losses make a short report that says a million."""
    cases = Cases(Case("lost", client=f"c{number % 3}", node="node-1") for number in range(1000))
    verdict = conclude("lost", Story().recorded(), BOUNDS, cases, judged=5000, of="deliveries")
    assert len(verdict.evidence) == 20
    assert (
        verdict.summary
        == "1,000 wrong in 5,000 deliveries; 3 clients, most at c0 (334); by node node-1 1,000"
    )


def test_a_case_outweighs_every_doubt() -> None:
    """What was seen to be wrong is wrong, however little else is known."""
    recorded = Story().recorded()
    recorded.cut_short.append("clients has no end")
    cases = Cases([Case("lost")])
    assert conclude("lost", recorded, BOUNDS, cases, judged=0, of="deliveries", doubt="x").state == "invalid"


def test_a_bound_that_does_not_exist_is_refused() -> None:
    """A misspelt bound in an experiment would judge by the default."""
    with pytest.raises(msgspec.ValidationError, match="delivery_p98_s"):
        msgspec.convert({"delivery_p98_s": 1.0}, Bounds)
