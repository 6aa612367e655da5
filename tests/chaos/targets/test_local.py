"""Tests of `chaos.targets.local`, with processes that are no nodes."""

import json
import os
import random
import sys
from pathlib import Path

import pytest
import trio

from chaos.targets import local
from chaos.targets.child import Child, Program, ended
from chaos.targets.interface import Failed
from chaos.targets.local import Local
from tests.chaos.targets.test_child import said

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


async def test_a_node_that_does_not_stop_is_ended(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its time and no more: a run waits for nobody for ever, and the node's failure is told."""
    log, ready_file = tmp_path / "log", tmp_path / "ready.json"
    node = Child(Program((sys.executable, "-c", DEAF), "/", os.environ), log)
    await said(log)
    url = "http://127.0.0.1:1"
    described = {
        "nats": {"url": "nats://127.0.0.1:1", "pid": 0},
        "nodes": [{"name": "node-1", "pid": node.pid, "http": url, "grpc": None}],
    }
    ready_file.write_text(json.dumps(described))
    target = Local(tmp_path, (1, 0), 1, frozenset(), random.Random(1), ready_file)
    await nursery.start(target.run)
    monkeypatch.setattr(local, "_MARGIN_S", 0.0)
    target.stop_max_s = 0.1
    with pytest.raises(Failed, match="node-1 had not ended 0 s after SIGTERM, and was killed"):
        await target.terminate("node-1")
    assert ended(node.pid)
    assert not node.running
    assert not target.parts("node")[0].up
