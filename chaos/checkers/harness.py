"""Harness: whether the judge was quick enough to be believed."""

from chaos.checkers.verdict import Bounds, Cases, Verdict, conclude
from chaos.recorded import Recorded

NAME = "harness"
_SHARE = 0.1  # of the samples of a process may be over a bound


def check(recorded: Recorded, bounds: Bounds) -> Verdict:
    """Never invalid: a harness that was the bottleneck says nothing about the cluster, good or bad."""
    doubts = []
    judged = 0
    cpu_most = lag_most = 0.0
    for name, samples in recorded.samples.items():
        if samples[0].kind != "harness":
            continue
        judged += len(samples)
        cpus = [sample.cpu for sample in samples if sample.cpu is not None]
        late = [sample.loop_lag_s for sample in samples if sample.loop_lag_s is not None]
        cpu_most, lag_most = max([cpu_most, *cpus]), max([lag_most, *late])
        if sum(cpu > bounds.harness_cpu_max for cpu in cpus) > len(cpus) * _SHARE:
            doubts.append(f"{name} had its core full")
        if sum(lag > bounds.harness_lag_max_s for lag in late) > len(late) * _SHARE:
            doubts.append(f"{name} was itself late")
    return conclude(
        NAME,
        recorded,
        bounds,
        Cases(),
        judged=judged,
        of="samples of the harness",
        doubt="; ".join(doubts),
        measured={"cpu_max": cpu_most, "loop_lag_max_s": lag_most},
    )
