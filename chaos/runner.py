"""Runs an experiment: hypothesis, method, hypothesis again, rollbacks; shows what happens; reports.

It does what Chaos Toolkit does with the same file, with one run around it. Whatever happens, no process of
the run stays behind.
"""

import importlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio

from chaos.checkers.verdict import State, Verdict, worst
from chaos.current import set_current
from chaos.experiment import Activity, Experiment, tolerates
from chaos.report import write_report
from chaos.rig import Rig, open_rig
from chaos.settings import Settings, make_directory
from chaos.workload.spec import Status

_SHOW_EVERY_S = 0.5


class View(NamedTuple):
    """What there is to see of a run.

    Attributes:
        elapsed_s: since it began.
        phase: see history.Phase; `start` before there is a cluster.
        in_force: the faults in force.
        step: what the experiment does now.
        status: what the clients say.
        deliveries_per_s: since the last look.
    """

    elapsed_s: float
    phase: str
    in_force: tuple[str, ...]
    step: str
    status: Status | None
    deliveries_per_s: float


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        state: the worst verdict; `invalid` too if the hypothesis did not hold.
        verdicts: of each checker.
        failed: what of the experiment did not go as it says.
        directory: history and report.
        report: the report's file.
    """

    state: State
    verdicts: list[Verdict]
    failed: list[str]
    directory: Path
    report: Path | None


class Runner:
    """One run of an experiment.

    Args:
        experiment: what is done.
        settings: with how much of everything.
        show: is told what there is to see, twice a second and at each step.
    """

    def __init__(self, experiment: Experiment, settings: Settings, show: Callable[[View], None]) -> None:
        self._experiment = experiment
        self._settings = settings
        self._show = show
        self._began = time.monotonic()
        self._step = "starting the cluster"
        self._rig: Rig | None = None
        self._failed: list[str] = []
        self._seen = (self._began, 0)

    async def run(self) -> Outcome:
        """Run it; cancelling ends everything and leaves the history without a report.

        Raises:
            Skipped: the cluster or the clients do not start.
        """
        directory = make_directory(self._settings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look)
            async with open_rig(self._settings, directory) as rig:
                self._rig = rig
                await self._at("taking the baseline, connecting clients", rig.begin)
                set_current(rig)
                try:
                    await self._perform()
                    verdicts = await self._at("judging", rig.judge)
                    self._failed += rig.failures
                finally:
                    set_current(None)
            nursery.cancel_scope.cancel()
        report = write_report(directory, rig.recorded, verdicts) if rig.recorded is not None else None
        state = "invalid" if self._failed else worst(verdicts)
        return Outcome(state, verdicts, self._failed, directory, report)

    async def _perform(self) -> None:
        if await self._hypothesis("before"):
            async with trio.open_nursery() as background:
                for activity in self._experiment.method:
                    if activity.background:
                        background.start_soon(self._action, activity)
                    else:
                        await self._action(activity)
            await self._hypothesis("after")
        for activity in self._experiment.rollbacks:
            await self._action(activity)

    async def _hypothesis(self, when: str) -> bool:
        held = True
        for probe in self._experiment.steady_state_hypothesis.probes:
            value = await self._action(probe)
            if not tolerates(probe.tolerance, value):
                held = False
                self._failed.append(f"{when} the method: {probe.name}: {value}, not {probe.tolerance}")
        return held

    async def _action(self, activity: Activity) -> Any:
        provider = activity.provider
        function = getattr(importlib.import_module(provider.module), provider.func)
        await trio.sleep(activity.pauses.before)

        async def call() -> Any:
            # Providers wait for this loop: from a thread, as under Chaos Toolkit.
            bound = partial(function, **provider.arguments)
            return await trio.to_thread.run_sync(bound, abandon_on_cancel=True)

        try:
            return await self._at(activity.name, call)
        finally:
            await trio.sleep(activity.pauses.after)

    async def _at(self, step: str, act: Callable[[], Any]) -> Any:
        self._step = step
        self._show(self._view())
        return await act()

    async def _look(self) -> None:
        while True:
            self._show(self._view())
            await trio.sleep(_SHOW_EVERY_S)

    def _view(self) -> View:
        now = time.monotonic()
        rig = self._rig
        if rig is None:
            return View(now - self._began, "start", (), self._step, None, 0.0)
        status = rig.worker.status
        rate = (status.deliveries - self._seen[1]) / max(now - self._seen[0], 1e-3)
        if now - self._seen[0] >= _SHOW_EVERY_S:
            self._seen = (now, status.deliveries)
        return View(now - self._began, rig.phase, rig.in_force, self._step, status, rate)
