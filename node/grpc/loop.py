"""The asyncio loop that grpc.aio needs, with trio as its guest; the only module of a node that knows asyncio.

Both run in one thread, turn by turn. Trio's synchronous functions may be called from asyncio's tasks, since a
guest is woken by them; what waits has to wait on its own side, and crosses over with `TrioTasks.run` and
`in_asyncio`. A stream's handler is an asyncio task: grpc wakes it without a detour through trio, which would
cost a thread's turn for every message.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")


def run(main: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """Like `trio.run`, with an asyncio loop around it; returns when `main` has, and raises what it raises.

    Args:
        main: an async function of trio's kind.
        *args: for it.
    """
    loop = asyncio.new_event_loop()
    try:
        result: _T = loop.run_until_complete(_host(loop, main, args)).unwrap()
        return result
    finally:
        loop.run_until_complete(_cancel_the_rest())
        loop.close()


async def _host(
    loop: asyncio.AbstractEventLoop, main: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
) -> Any:
    ended: asyncio.Future[Any] = loop.create_future()
    trio.lowlevel.start_guest_run(
        main,
        *args,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        run_sync_soon_not_threadsafe=loop.call_soon,
        done_callback=ended.set_result,
    )
    return await ended


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def in_asyncio(call: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
    """Call an async function of asyncio's kind from a trio task.

    Args:
        call: the function.
        *args: for it.

    Cancellation cancels it, and waits until it has ended.
    """
    task = asyncio.get_running_loop().create_task(call(*args))
    ended = trio.Event()
    task.add_done_callback(lambda _: ended.set())
    try:
        await ended.wait()
    except trio.Cancelled:
        task.cancel()
        with trio.CancelScope(shield=True):
            await ended.wait()
        with suppress(asyncio.CancelledError):
            task.result()
        raise
    return task.result()


def spawn(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Start a task of asyncio's kind, from either side; whoever starts it keeps the reference."""
    return asyncio.get_running_loop().create_task(coroutine)


async def stop(task: "asyncio.Task[None]") -> None:
    """End a task of asyncio's kind, from another one, and wait until it has ended."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class TrioTasks:
    """Where asyncio's tasks have trio's functions run.

    Args:
        nursery: of the trio tasks.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def run(self, call: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """Call an async function of trio's kind from an asyncio task.

        Args:
            call: the function.
            *args: for it.

        Cancellation cancels it, and waits until it has ended. The nursery's cancellation is one too.
        """
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        scope = trio.CancelScope()

        async def carry() -> None:
            try:
                with scope:
                    result = await call(*args)
                    future.set_result(result)
            except Exception as error:  # noqa: BLE001 - raised again on the side of whoever called
                future.set_exception(error)
            finally:
                if not future.done():
                    future.cancel()

        self._nursery.start_soon(carry)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            scope.cancel()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise


class Signal:
    """Something that is waited for in one asyncio task, and set from anywhere in the thread."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake whoever waits, or the next one who will."""
        self._is_set = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self) -> None:
        """Return at once if it is set, else when it is; it is not set any more then."""
        if not self._is_set:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        self._is_set = False
