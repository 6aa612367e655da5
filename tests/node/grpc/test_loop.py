"""Trio as a guest of asyncio: calls cross over both ways, with their results, errors and cancellations."""

import asyncio

import pytest
import trio

from node.grpc.loop import Signal, TrioTasks, in_asyncio, run, spawn, stop


async def slowly(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


async def trio_slowly(value: int) -> int:
    await trio.lowlevel.checkpoint()
    return value * 2


def test_results_cross_over_both_ways() -> None:
    """Trio awaits asyncio, which awaits trio, in one thread."""

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            tasks = TrioTasks(nursery)

            async def both(value: int) -> int:
                return await tasks.run(trio_slowly, await slowly(value))

            return await in_asyncio(both, 20)

    assert run(main) == 42


def test_errors_cross_over_both_ways() -> None:
    """They are raised where the call was made, and nothing else is ended by them."""

    async def fails() -> None:
        raise LookupError("here")

    async def main() -> str:
        async with trio.open_nursery() as nursery:
            with pytest.raises(LookupError):
                await in_asyncio(fails)
            with pytest.raises(LookupError):
                await in_asyncio(TrioTasks(nursery).run, fails)
        return "alive"

    assert run(main) == "alive"


def test_an_error_of_trios_main_function_is_the_runs() -> None:
    """As with trio.run."""

    async def main() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run(main)


def test_cancelling_trio_ends_what_it_waits_for_on_both_sides() -> None:
    """It returns when asyncio's task and the trio task behind that have ended."""
    ended: list[str] = []
    scope = trio.CancelScope()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            tasks = TrioTasks(nursery)

            async def behind() -> None:
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    ended.append("behind")

            async def between() -> None:
                try:
                    await tasks.run(behind)
                finally:
                    ended.append("between")

            with scope:
                await in_asyncio(between)
            assert scope.cancelled_caught
            assert ended == ["behind", "between"]

    run(main)


def test_the_end_of_the_nursery_ends_whoever_waits() -> None:
    """An asyncio task that waits for trio's side does not wait for ever when that is gone."""

    async def main() -> None:
        nurseries: list[trio.Nursery] = []

        async def hold(task_status: trio.TaskStatus[None]) -> None:
            async with trio.open_nursery() as nursery:
                nurseries.append(nursery)
                task_status.started()
                await trio.sleep_forever()

        async with trio.open_nursery() as outer:
            await outer.start(hold)
            task = spawn(TrioTasks(nurseries[0]).run(trio.sleep_forever))
            await trio.lowlevel.checkpoint()
            outer.cancel_scope.cancel()
        await in_asyncio(asyncio.wait, [task])
        assert task.cancelled()

    run(main)


def test_tasks_left_over_end_with_the_run() -> None:
    """Nothing of asyncio's outlives it."""
    ended: list[bool] = []

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        spawn(for_ever())
        await in_asyncio(slowly, 1)

    run(main)
    assert ended == [True]


def test_stop_waits_for_the_end_of_a_task() -> None:
    """What it does last is done."""
    done: list[bool] = []

    async def last_words() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append(True)

    async def ends_it() -> None:
        task = spawn(last_words())
        await asyncio.sleep(0)
        await stop(task)
        assert done

    async def main() -> None:
        await in_asyncio(ends_it)

    run(main)


def test_a_signal_wakes_one_wait_whenever_it_is_set() -> None:
    """Before the wait or during it, from trio's side too; each wait needs a signal of its own."""

    async def waits(signal: Signal, woken: list[int]) -> None:
        for number in range(3):
            await signal.wait()
            woken.append(number)

    async def main() -> None:
        signal, woken = Signal(), []
        signal.set()
        signal.set()
        task = spawn(waits(signal, woken))
        await in_asyncio(slowly, 1)
        assert woken == [0]
        for _ in range(2):
            signal.set()
            await in_asyncio(slowly, 1)
        assert woken == [0, 1, 2]
        await in_asyncio(stop, task)

    run(main)
