"""Lost: accepted, and never delivered to a subscriber that was entitled to it."""

from collections import Counter

from chaos.checkers.missed import survey
from chaos.checkers.plain import survey_plain
from chaos.checkers.verdict import Bounds, Cases, Verdict, conclude
from chaos.recorded import Recorded

NAME = "lost"


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Every accepted publication reached everybody who was owed it, on history and plain channels."""
    history, plain = survey(recorded), survey_plain(recorded, bounds)
    lost = [each for each in history.missed if each.publication.accepted]
    cases = Cases(each.case(recorded, f"accepted, never delivered ({each.where})") for each in lost)
    for case in plain.missed:
        cases.add(case)
    where = Counter(each.where for each in lost)
    measured = {f"{name}_count": float(where[name]) for name in ("prefix", "middle", "postfix")}
    measured |= {"plain_count": float(len(plain.missed)), "plain_judged": float(plain.owed)}
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=history.owed + plain.owed,
        of="deliveries that were owed",
        doubt=f"the end of {history.endless:,} subscriptions was not seen" if history.endless else "",
        words=", ".join(f"{count:,} {name}" for name, count in where.items()),
        measured=measured,
    )
