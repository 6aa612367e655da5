"""asyncio as it is, for programs that are tested from outside and for nodes that serve gRPC.

The coordinator's trio-asyncio puts its own functions in place of asyncio's, such as `asyncio.new_event_loop`
and so `asyncio.run`, in every thread of a process that has imported it. A process of ours imports it or runs
trio as a guest of asyncio, never both; the process of all tests does both, one after the other.
"""

import asyncio
import asyncio.events
import asyncio.tasks
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_MODULES = (asyncio, asyncio.events, asyncio.tasks)
# tests/conftest.py imports this before any test, and so anything of the coordinator, is imported.
_PLAIN = [dict(vars(module)) for module in _MODULES]


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of asyncio's own."""
    return asyncio.SelectorEventLoop()


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `asyncio.run` does, on such a loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


@contextmanager
def restored() -> Iterator[None]:
    """Meanwhile asyncio is as it was before anything was put in place of its functions."""
    replaced = [
        {name: value for name, value in vars(module).items() if name in plain and value is not plain[name]}
        for module, plain in zip(_MODULES, _PLAIN, strict=True)
    ]
    for module, plain, names in zip(_MODULES, _PLAIN, replaced, strict=True):
        vars(module).update({name: plain[name] for name in names})
    try:
        yield
    finally:
        for module, values in zip(_MODULES, replaced, strict=True):
            vars(module).update(values)
