"""What a history looks like over time: counts and percentiles for each moment, and where clients waited."""

import math
from collections import Counter
from collections.abc import Iterator

import msgspec

from chaos.history import Session
from chaos.lags import lags, percentiles, together
from chaos.recorded import Recorded

_MOMENTS_MAX = 600
_LATE_S = 1.0  # a client waits if its next publication is on its way for so long
_JOIN_S = 0.25  # waits that are closer than this are drawn as one
_CLIENTS_MAX = 30


class Series(msgspec.Struct, frozen=True):
    """One list a line of the plots, all of the same length; None where there was nothing.

    Attributes:
        step_s: how long a moment is, seconds.
        deliveries_per_s: to all clients.
        publications_per_s: that were accepted.
        not_accepted_per_s: that failed, or whose outcome is not known.
        lag_p50_s: from publishing to delivery, of what was published in this moment, healthy clients.
        lag_p99_s: likewise.
        lag_max_s: likewise.
        connected_per_s: sessions that were welcomed.
        closed_per_s: sessions that ended.
        away: clients without a session at the end of the moment, of those that had one before.
    """

    step_s: int
    deliveries_per_s: list[float]
    publications_per_s: list[float]
    not_accepted_per_s: list[float]
    lag_p50_s: list[float | None]
    lag_p99_s: list[float | None]
    lag_max_s: list[float | None]
    connected_per_s: list[float]
    closed_per_s: list[float]
    away: list[float]


class Gap(msgspec.Struct, frozen=True):
    """A time in which a client had to do without.

    Attributes:
        client: who.
        began: seconds since the run began.
        ended: likewise.
        kind: away (no session), waiting (something was on its way for more than a second).
    """

    client: str
    began: float
    ended: float
    kind: str


def series(recorded: Recorded) -> Series:
    """The lines of the plots; long runs get longer moments."""
    length_s = max(1, math.ceil(recorded.end - recorded.zero))
    step = math.ceil(length_s / _MOMENTS_MAX)
    moments = math.ceil(length_s / step)
    found = lags(recorded, recorded.healthy())
    each = [
        percentiles(counts, 0.5, 0.99, 1.0) if counts else (None, None, None)
        for counts in (together(found, range(at * step, (at + 1) * step)) for at in range(moments))
    ]
    deliveries: Counter[int] = Counter()
    for stream in recorded.streams.values():
        deliveries.update(int(t - recorded.zero) // step for t in stream.times)
    sessions = [session for listed in recorded.sessions.values() for session in listed]
    sent = [one for one in recorded.publications if one.invoked is not None]

    def rate(counts: Counter[int]) -> list[float]:
        return [counts[at] / step for at in range(moments)]

    def moment(t: float) -> int:
        return int(t - recorded.zero) // step

    gone: Counter[int] = Counter()
    for _, began, back in _absences(recorded):
        gone[moment(began)] += 1
        gone[moment(back)] -= 1
    away, now = [], 0
    for at in range(moments):
        now += gone[at]
        away.append(float(now))
    return Series(
        step,
        rate(deliveries),
        rate(Counter(moment(one.ended) for one in sent if one.accepted)),
        rate(Counter(moment(one.ended) for one in sent if not one.accepted)),
        [p50 for p50, _, _ in each],
        [p99 for _, p99, _ in each],
        [most for _, _, most in each],
        rate(Counter(moment(session.t) for session in sessions if session.phase == "connected")),
        rate(Counter(moment(session.t) for session in sessions if _ends(session))),
        away,
    )


def _ends(session: Session) -> bool:
    return session.phase == "closed"


def _absences(recorded: Recorded) -> Iterator[tuple[str, float, float]]:
    """Who had no session from when to when; once the run lets everybody go, nobody is missed."""
    over = min((phase.t for phase in recorded.phases if phase.name == "idle"), default=recorded.end)
    for client, sessions in recorded.sessions.items():
        gone: float | None = None
        was_in = False
        for session in sessions:
            if session.t > over:
                break
            if session.phase == "connected":
                if gone is not None:
                    yield client, gone, session.t
                gone, was_in = None, True
            elif _ends(session) and was_in and gone is None:
                gone = session.t
        if gone is not None:
            yield client, gone, over


def gaps(recorded: Recorded) -> list[Gap]:
    """When clients were away or waited, of those that did longest; client by client, the worst first."""
    zero = recorded.zero
    by_client: dict[str, list[Gap]] = {}
    for client, began, ended in _absences(recorded):
        by_client.setdefault(client, []).append(Gap(client, began - zero, ended - zero, "away"))
    for client, began, ended in _waits(recorded):
        by_client.setdefault(client, []).append(Gap(client, began - zero, ended - zero, "waiting"))

    def longest(listed: list[Gap]) -> float:
        return max(gap.ended - gap.began for gap in listed)

    worst = sorted(by_client.values(), key=longest, reverse=True)[:_CLIENTS_MAX]
    return [gap for listed in worst for gap in listed]


def _waits(recorded: Recorded) -> Iterator[tuple[str, float, float]]:
    invoked = [math.inf if one.invoked is None else one.invoked for one in recorded.publications]
    for stream in recorded.healthy():
        spans = sorted(
            (invoked[number], t)
            for t, number in zip(stream.times, stream.numbers, strict=True)
            if t - invoked[number] > _LATE_S
        )
        while spans:
            began, ended = spans.pop(0)
            while spans and spans[0][0] <= ended + _JOIN_S:
                ended = max(ended, spans.pop(0)[1])
            yield stream.client, began, ended
