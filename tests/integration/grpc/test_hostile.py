"""Clients that do not read, or come and go by the thousand: they cost only themselves, and leave nothing."""

import re
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc

from tests.integration.cluster import NodeProcess
from tests.integration.grpc.clients import Caller, status_of
from tests.patience import PATIENCE_S


def metric(node: NodeProcess, name: str) -> float:
    with urllib.request.urlopen(f"{node.http}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    return sum(
        float(value)
        for value in re.findall(rf"^broadcast_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    )


def files(node: NodeProcess) -> int:
    return len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))


def memory_kb(node: NodeProcess) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_a_client_that_never_reads_is_closed_and_disturbs_nobody(
    node: NodeProcess, here: Caller, there: Caller, channel: str
) -> None:
    """It is told RESOURCE_EXHAUSTED when it reads at last; the others have everything, in order."""
    slow_before = metric(node, "slow_clients_total")
    with Caller(node.grpc) as lazy:
        unread = lazy.subscribe(channel)
        unread.next("subscribed")
        reading = here.subscribe(channel)
        reading.next("subscribed")
        payload = b'"' + b"x" * 10_000 + b'"'
        for _ in range(60):
            summary = there.publish_stream([(channel, payload)] * 10)
            assert summary.accepted == 10
            assert reading.data(10) == [payload] * 10
            if metric(node, "slow_clients_total") > slow_before:
                break
        assert metric(node, "slow_clients_total") == slow_before + 1
        assert status_of(unread.end()) == ("RESOURCE_EXHAUSTED", "3008")
    there.publish(channel, b"1")
    assert reading.data(1) == [b"1"]


def test_thousands_of_streams_that_come_and_go_leave_nothing(node: NodeProcess, channel: str) -> None:
    """Sessions, subscriptions and files are as many as before, and memory does not grow with every round."""
    names = ("connections", "subscriptions", "channels")
    # Of other tests' clients some may still be leaving.
    until(lambda: metric(node, "connections") == 0)
    before = [metric(node, name) for name in names]
    files_before = files(node)
    memory: list[int] = []
    for _ in range(4):
        with ExitStack() as callers:
            streams = []
            for number in range(1000):
                if number % 100 == 0:
                    caller = callers.enter_context(Caller(node.grpc))
                streams.append(caller.subscribe(channel))
            for stream in streams[::3]:
                stream.next("subscribed")
            for stream in streams[::2]:
                stream.call.cancel()
        until(lambda: all(metric(node, name) <= was for name, was in zip(names, before, strict=True)))
        until(lambda: files(node) <= files_before)
        memory.append(memory_kb(node))
    assert memory[-1] - memory[1] < 6000, memory


def test_half_a_stream_is_let_go(node: NodeProcess, here: Caller) -> None:
    """A client that opens a bidirectional stream and ends its side at once has a good end, and no session."""
    replies = here.connect(iter(()))
    assert list(replies) == []
    assert replies.code() is grpc.StatusCode.OK
    until(lambda: metric(node, "connections") == 0)
