"""Isolation: slow and hostile clients cost only themselves."""

from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import FaultChanged
from chaos.lags import Lags, lags, percentiles, quiet, together
from chaos.recorded import Recorded

NAME = "isolation"
_SAID = (("p99_before_s", "before"), ("p99_beside_s", "beside them"))


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """While others are slow, healthy clients get theirs as quickly as before, and keep their sessions.

    Seconds in which another fault is in force say nothing about this and are left out.
    """
    spans = [span for span in recorded.spans() if span[0].slow]
    found = lags(recorded, recorded.healthy() if spans else ())
    calm = quiet(found, recorded, recorded.disturbances(settle_s=bounds.settle_s))
    cases = Cases()
    judged = 0
    measured: dict[str, float] = {}
    doubts = []
    for fault, began, ended in spans:
        judged += sum(found[second].total() for second in _inside(recorded, calm, began, ended))
        doubts.append(_compare(recorded, bounds, (fault, began, ended), found, calm, cases, measured))
    for case in _cut_off(recorded, bounds, spans):
        cases.add(case)
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=judged,
        of="deliveries to healthy clients beside slow ones",
        doubt="; ".join(filter(None, doubts)),
        words=", ".join(
            f"p99 {measured[name] * 1000:.1f} ms {when}" for name, when in _SAID if name in measured
        ),
        measured=measured,
    )


def _inside(recorded: Recorded, calm: list[int], began: float, ended: float) -> list[int]:
    low, high = began - recorded.zero, ended - recorded.zero
    return [second for second in calm if low <= second and second + 1 <= high]


def _compare(
    recorded: Recorded,
    bounds: Bounds,
    span: tuple[FaultChanged, float, float],
    found: Lags,
    calm: list[int],
    cases: Cases,
    measured: dict[str, float],
) -> str:
    """Adds the p99 of one span and what is wrong with it; returns why it cannot be judged, if so."""
    fault, began, ended = span
    others = [each for each in recorded.spans() if each[0].slow]
    before = [
        second
        for second in calm
        if second + 1 <= began - recorded.zero
        and not any(
            since - recorded.zero <= second + 1 and second <= until - recorded.zero
            for _, since, until in others
        )
    ]
    base = together(found, before)
    beside = together(found, _inside(recorded, calm, began, ended))
    if not beside:
        return f"nothing was delivered undisturbed beside {fault.name}"
    (p99,) = percentiles(beside, 0.99)
    measured["p99_beside_s"] = max(p99, measured.get("p99_beside_s", 0.0))
    if not base:
        return (
            ""
            if p99 <= bounds.isolation_p99_s
            else f"nothing was delivered before {fault.name} to compare with"
        )
    (p99_before,) = percentiles(base, 0.99)
    measured["p99_before_s"] = p99_before
    if p99 > max(bounds.isolation_p99_s, bounds.isolation_factor * p99_before):
        what = f"p99 of healthy clients beside {fault.name} is {p99:.3f} s, it was {p99_before:.3f} s before"
        cases.add(Case(what, began - recorded.zero))
    return ""


def _cut_off(
    recorded: Recorded, bounds: Bounds, spans: list[tuple[FaultChanged, float, float]]
) -> list[Case]:
    """Healthy clients that lost their session while nothing but slow clients was wrong."""
    disturbances = recorded.disturbances(settle_s=bounds.settle_s)
    return [
        Case(
            f"a healthy client lost its session ({session.code} {session.reason})",
            session.t - recorded.zero,
            name,
            node=session.node,
        )
        for name, sessions in recorded.sessions.items()
        if recorded.client(name).role == "healthy"
        for session in sessions
        if session.phase == "closed"
        and session.code != -1
        and any(began <= session.t <= ended for _, began, ended in spans)
        and not any(began <= session.t <= ended for began, ended, _ in disturbances)
    ]
