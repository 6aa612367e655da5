"""asyncio as it is, for programs that are tested from outside.

The coordinator's trio-asyncio puts itself in place of `asyncio.new_event_loop`, and so of `asyncio.run`, in
every thread of a process that has imported it: a loop is made by its own name here.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of asyncio's own."""
    return asyncio.SelectorEventLoop()


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `asyncio.run` does, on such a loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)
