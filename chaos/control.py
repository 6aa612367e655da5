"""Opens and closes a run for Chaos Toolkit: the control that every experiment names.

Chaos Toolkit is one thread and knows no event loop. So the run gets a thread of its own, in which it lives
from before the hypothesis until after the rollbacks.
"""

import sys
import threading
from collections.abc import Mapping
from typing import Any

import trio

from chaos.current import set_current
from chaos.experiment import settings_of
from chaos.report import write_report
from chaos.rig import open_rig
from chaos.settings import Settings, make_directory


class _Opened:
    thread: threading.Thread | None = None
    token: trio.lowlevel.TrioToken | None = None
    done: trio.Event | None = None


def before_experiment_control(
    context: Mapping[str, Any],  # noqa: ARG001 - Chaos Toolkit's signature
    configuration: Mapping[str, Any] | None = None,
    **_others: Any,
) -> None:
    """Start the cluster and the clients; returns when all are served, or none will be."""
    settings = settings_of(configuration or {})
    ready = threading.Event()
    _Opened.thread = threading.Thread(target=trio.run, args=[_live, settings, ready], name="run")
    _Opened.thread.start()
    ready.wait()


def after_experiment_control(context: Mapping[str, Any], **_others: Any) -> None:  # noqa: ARG001
    """Write the report and end every process of the run."""
    if _Opened.token is not None and _Opened.done is not None:
        trio.from_thread.run_sync(_Opened.done.set, trio_token=_Opened.token)
    if _Opened.thread is not None:
        _Opened.thread.join()


async def _live(settings: Settings, ready: threading.Event) -> None:
    _Opened.token = trio.lowlevel.current_trio_token()
    done = _Opened.done = trio.Event()
    directory = make_directory(settings)
    try:
        async with open_rig(settings, directory) as rig:
            await rig.begin()
            set_current(rig)
            ready.set()
            await done.wait()
            verdicts = await rig.judge()
            set_current(None)
        if rig.recorded is not None:
            written = write_report(directory, rig.recorded, verdicts)
            print(f"chaos: the report is {written}", file=sys.stderr)  # noqa: T201 - for the person who waits
    finally:
        ready.set()
        set_current(None)
