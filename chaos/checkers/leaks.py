"""Leaks: when everybody has gone, a process is back to what it used before anybody came."""

from chaos.checkers.verdict import Bounds, Case, Cases, Verdict, conclude
from chaos.history import Sample
from chaos.recorded import Recorded

NAME = "leaks"
_FIELDS = ("files", "tasks", "memory_bytes")


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Descriptors, tasks and memory of nodes and coordinators, in the idle phase against the baseline.

    A process that was started during the run is compared with the largest of its kind before.
    """
    allowed = {
        "files": bounds.leak_files,
        "tasks": bounds.leak_tasks,
        "memory_bytes": bounds.leak_memory_bytes,
    }
    cases = Cases()
    judged = 0
    doubts = []
    measured: dict[str, float] = {}
    watched = {
        name: samples
        for name, samples in recorded.samples.items()
        if samples[0].kind in ("node", "coordinator")
    }
    before = {name: _in_phase(recorded, samples, "baseline") for name, samples in watched.items()}
    for name, samples in watched.items():
        after = _in_phase(recorded, samples, "idle")
        same = [each for each in before[name] if after and each.pid == after[-1].pid]
        kin = [each for listed in before.values() for each in listed if each.kind == samples[0].kind]
        for field in _FIELDS:
            base, now = _largest(same or kin, field), _smallest(after, field)
            if base is None or now is None:
                if any(getattr(each, field) is not None for each in samples):
                    doubts.append(f"{field} of {name} were not sampled before and after")
                continue
            judged += 1
            measured[f"{field}_more"] = max(measured.get(f"{field}_more", 0.0), now - base)
            if now > base + allowed[field]:
                what = f"{field}: {base:,} before, {now:,} after; {allowed[field]:,} more are allowed"
                cases.add(Case(what, after[-1].t - recorded.zero, node=name))
    doubt = "; ".join(doubts)
    return conclude(
        NAME,
        recorded,
        bounds,
        cases,
        judged=judged,
        of="figures of processes",
        doubt=doubt,
        measured=measured,
    )


def _in_phase(recorded: Recorded, samples: list[Sample], name: str) -> list[Sample]:
    starts = [*recorded.phases, None]
    return [
        sample
        for phase, following in zip(recorded.phases, starts[1:], strict=True)
        if phase.name == name
        for sample in samples
        if phase.t <= sample.t and (following is None or sample.t < following.t)
    ]


def _largest(samples: list[Sample], field: str) -> int | None:
    return max((value for each in samples if (value := getattr(each, field)) is not None), default=None)


def _smallest(samples: list[Sample], field: str) -> int | None:
    """Things are given back in time: the best of the last phase counts."""
    return min((value for each in samples if (value := getattr(each, field)) is not None), default=None)
