"""Waiting for processes that are not children of the test."""

import os

import trio

from tests.patience import PATIENCE_S


async def ended(pid: int) -> None:
    """Wait until a process that may not be ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with trio.fail_after(PATIENCE_S):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)
