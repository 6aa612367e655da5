"""The run that providers act on: set by whoever runs an experiment, used from other threads.

Chaos Toolkit calls plain functions, in threads of its own; a run lives in an event loop. Here they meet.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from chaos.rig import Rig

_Result = TypeVar("_Result")


class NoRun(Exception):
    """There is no run: the experiment lacks the control `chaos.control`, or its cluster did not start."""


class _Current:
    rig: Rig | None = None
    token: trio.lowlevel.TrioToken | None = None


def set_current(rig: Rig | None) -> None:
    """Let providers act on this run, in the event loop that calls this; None: on none."""
    _Current.rig = rig
    _Current.token = trio.lowlevel.current_trio_token() if rig is not None else None


def call(act: Callable[[Rig], Awaitable[_Result]]) -> _Result:
    """Do something with the run, from a thread, and wait for it.

    Raises:
        NoRun: see there.
    """
    rig, token = _Current.rig, _Current.token
    if rig is None or token is None:
        raise NoRun("no run is open: name the module chaos.control among the experiment's controls")
    return trio.from_thread.run(act, rig, trio_token=token)
