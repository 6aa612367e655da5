"""Unsignalled gap: later publications came, an earlier one did not, and the client was not told."""

from chaos.checkers.missed import survey
from chaos.checkers.verdict import Bounds, Cases, Verdict, conclude
from chaos.recorded import Recorded

NAME = "unsignalled_gap"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """No live subscription leaves out what is stored, also if the publisher never heard that it is."""
    found = survey(recorded)
    gaps = [each for each in found.missed if each.where != "postfix" and each.recovery is None]
    cases = Cases(each.case(recorded, "later ones came, this one did not, and no signal") for each in gaps)
    return conclude(NAME, recorded, bounds, cases, judged=found.owed, of="deliveries on history channels")
