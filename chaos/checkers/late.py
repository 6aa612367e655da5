"""Late: deliveries, and catching up after a fault, that took longer than they may; clients that never did."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from math import inf
from operator import sub
from typing import NamedTuple

from chaos.checkers.absences import Refused, absences, away_s, refusals
from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude, delivery_case
from chaos.history import Final, Subscribed
from chaos.lags import lags, percentiles, quiet, together
from chaos.recorded import Disturbance, Recorded, Stream

NAME = "late"
_SAMPLED_S = 2.0


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Deliveries are quick in quiet seconds, none stalls, all catch up after a fault, none is left behind."""
    disturbances = recorded.disturbances(settle_s=bounds.settle_s)
    found = lags(recorded, recorded.healthy())
    seconds = quiet(found, recorded, disturbances)
    calm = together(found, seconds) - together(lags(recorded, _caught_up(recorded, disturbances)), seconds)
    p50, p99, most = percentiles(calm, 0.5, 0.99, 1.0)
    cases = Cases(_left_behind(recorded))
    _hold("deliveries in quiet seconds", p99, bounds.delivery_p99_s, cases)
    for case in _stalls(recorded, bounds):
        cases.add(case)
    slowest = 0.0
    for disturbance, caught_up_s in caught_up(recorded, bounds):
        slowest = max(slowest, caught_up_s)
        if caught_up_s > bounds.caught_up_s:
            cases.add(_slow_case(recorded, bounds, disturbance, caught_up_s))
    took = _recoveries(recorded, bounds)
    recovery_p50, recovery_p99 = (took[int(len(took) * rank)] if took else 0.0 for rank in (0.5, 0.99))
    _hold("coming back after being cut off", recovery_p99, bounds.recovery_p99_s, cases)
    p99_all, most_all = percentiles(together(found, found), 0.99, 1.0)
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=sum(counts.total() for counts in found.values()),
        of="deliveries",
        words=f"quiet p99 {p99 * 1000:.1f} ms, caught up within {slowest:.1f} s",
        measured={
            "quiet_p50_s": p50,
            "quiet_p99_s": p99,
            "quiet_max_s": most,
            "all_p99_s": p99_all,
            "all_max_s": most_all,
            "recovery_p50_s": recovery_p50,
            "recovery_p99_s": recovery_p99,
            "caught_up_s": slowest,
        },
    )


def _hold(what: str, p99: float, bound: float, cases: Cases) -> None:
    if p99 > bound:
        cases.add(Case(f"p99 of {what} is {p99:.3f} s, {bound:g} at most"))


def _caught_up(recorded: Recorded, disturbances: list[Disturbance]) -> Iterator[Stream]:
    """What was published while a fault kept its client away: how soon it comes back is judged by itself."""
    publications = recorded.publications
    for stream in recorded.healthy():
        missed = Stream(stream.client, stream.channel)
        for away in absences(stream):
            if not any(each.began <= away.ended and away.began <= each.ended for each in disturbances):
                continue
            for at in range(bisect_left(stream.times, away.began), len(stream.times)):
                sent = publications[stream.numbers[at]].invoked or 0.0
                if sent > away.ended:
                    break
                if sent >= away.began:
                    missed.times.append(stream.times[at])
                    missed.numbers.append(stream.numbers[at])
        yield missed


def _stalls(recorded: Recorded, bounds: Bounds) -> Iterator[Case]:
    """Single deliveries that nothing excuses: no fault, no absence of the client, no pause of the harness."""
    disturbances = recorded.disturbances(settle_s=bounds.settle_s)
    accepted = [each.ended if each.accepted else inf for each in recorded.publications]
    for stream in recorded.healthy():
        waited = array("d", map(sub, stream.times, map(accepted.__getitem__, stream.numbers)))
        if max(waited, default=0.0) <= bounds.delivery_max_s:
            continue  # nearly always, and a loop over millions would cost seconds
        for at, waited_s in enumerate(waited):
            if waited_s <= bounds.delivery_max_s:
                continue
            ended = stream.times[at]
            began = ended - waited_s
            excused_s = away_s(absences(stream), began, ended) + _paused_s(recorded, began, ended)
            disturbed = any(each.began <= ended and began <= each.ended for each in disturbances)
            if waited_s - excused_s > bounds.delivery_max_s and not disturbed:
                yield delivery_case(recorded, stream, at, f"came {waited_s:.1f} s after it was accepted")


def _paused_s(recorded: Recorded, began: float, ended: float) -> float:
    """How long the harness itself stood still; it says so up to a sample later."""
    return sum(
        sample.loop_lag_s or 0.0
        for samples in recorded.samples.values()
        if samples[0].kind == "harness"
        for sample in samples
        if began <= sample.t <= ended + _SAMPLED_S
    )


def caught_up(recorded: Recorded, bounds: Bounds) -> list[tuple[Disturbance, float]]:
    """How long after each disturbance the last late delivery of what it held up came, in seconds.

    A late delivery belongs to the last disturbance that began before the publication would have been late, or
    to a later one that refused the client while it was still on its way back, before it had to have caught
    up. What a subscription that stands is not given stays with the disturbance before. One that was never
    healed is counted from its beginning.
    """
    disturbances = recorded.disturbances()
    last = [0.0] * len(disturbances)
    for late in _late(recorded, bounds.late_s) if disturbances else ():
        for at in reversed(range(len(disturbances))):
            began, ended, _ = disturbances[at]
            if began <= late.sent + bounds.late_s:
                if late.sent <= ended + bounds.settle_s:
                    holder = _holder(bounds, disturbances, at, late)
                    last[holder] = max(last[holder], late.delivered)
                break
    return [
        (disturbance, max(0.0, delivered - _since(disturbance, bounds)))
        for disturbance, delivered in zip(disturbances, last, strict=True)
    ]


def _since(disturbance: Disturbance, bounds: Bounds) -> float:
    """When the time to catch up begins."""
    from_healing = bounds.caught_up_from == "heal" and disturbance.ended < float("inf")
    return disturbance.ended if from_healing else disturbance.began


class _Late(NamedTuple):
    """A delivery that took long; times in seconds."""

    sent: float
    delivered: float
    refusals: list[Refused]  # all of its stream


def _holder(bounds: Bounds, disturbances: list[Disturbance], at: int, late: _Late) -> int:
    """Which disturbance the client waited for last: one may turn it away while it comes back from another."""
    for following in range(at + 1, len(disturbances)):
        began, ended, _ = disturbances[following]
        if began > min(late.delivered, _since(disturbances[at], bounds) + bounds.caught_up_s):
            break
        until = min(late.delivered, ended + bounds.settle_s)
        # It has been away since the earlier one: else it was subscribed in between, and should have had it.
        away_by = min(began, disturbances[at].ended + bounds.settle_s)
        if any(refused.away < away_by and began <= refused.t <= until for refused in late.refusals):
            at = following
    return at


def _late(recorded: Recorded, late_s: float) -> list[_Late]:
    """Those that took longer, and not because the client was away by itself."""
    invoked = [float("inf") if each.invoked is None else each.invoked for each in recorded.publications]
    late: list[_Late] = []
    for stream in recorded.healthy():
        refused = list(refusals(stream))
        found = [
            _Late(invoked[number], t, refused)
            for t, number in zip(stream.times, stream.numbers, strict=True)
            if t - invoked[number] > late_s
        ]
        own = [absence for absence in absences(stream) if absence.own] if found else []
        late += [
            each
            for each in found
            if each.delivered - each.sent - away_s(own, each.sent, each.delivered) > late_s
        ]
    return late


def _recoveries(recorded: Recorded, bounds: Bounds) -> list[float]:
    """How long clients that were cut off took to be subscribed again, seconds, rising."""
    disturbances = recorded.disturbances() if bounds.caught_up_from == "heal" else []
    took = []
    for stream in recorded.healthy():
        for absence in absences(stream):
            held = [
                each.ended
                for each in disturbances
                if each.began <= absence.ended and each.ended > absence.began
            ]
            since = max([absence.began, *(min(ended, absence.ended) for ended in held)])
            if not absence.own:
                took.append(absence.ended - since)
    return sorted(took)


def _left_behind(recorded: Recorded) -> list[Case]:
    """Healthy clients that were never let in, or had not caught up when the run ended."""
    subscribed = {
        stream.client
        for stream in recorded.streams.values()
        if any(isinstance(mark, Subscribed) for _, mark in stream.marks)
    }
    healthy = [name for name, client in recorded.clients.items() if client.role == "healthy"]
    cases = [Case("was never subscribed", client=name) for name in healthy if name not in subscribed]
    finals = [stream.final for stream in recorded.healthy() if stream.final and not stream.final.caught_up]
    return cases + [_final_case(recorded, final) for final in finals]


def _final_case(recorded: Recorded, final: Final) -> Case:
    return Case(
        "had not caught up when the run ended",
        final.t - recorded.zero,
        final.client,
        final.channel,
        final.head,
        node=recorded.node_of(final.client, final.t),
    )


def _slow_case(recorded: Recorded, bounds: Bounds, disturbance: Disturbance, caught_up_s: float) -> Case:
    return Case(
        f"late deliveries until {caught_up_s:.1f} s after the {bounds.caught_up_from} of "
        f"{', '.join(dict.fromkeys(disturbance.names))}, {bounds.caught_up_s:g} at most",
        disturbance.began - recorded.zero,
    )
