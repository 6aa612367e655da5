"""Clients that listen until a node sends them away, and a backend that publishes meanwhile."""

import json
from typing import Any

import trio

from tests.deploy.pids import ended
from tests.integration.cluster import API_KEY, NodeProcess
from tests.integration.raw import CLOSE, CONNECT, Raw

KEY_FIELD = f"X-API-Key: {API_KEY}"
SUBSCRIBE = json.dumps({"id": 2, "subscribe": {"channel": "news"}})


class Client:
    """What one client saw.

    Attributes:
        values: of the publications, in order.
        told: code and reason it was sent away with.
        retry_ms: how long it was told to stay away.
        told_at: when, on trio's clock.
    """

    def __init__(self) -> None:
        self.values: list[int] = []
        self.told = (0, "")
        self.retry_ms = 0
        self.told_at = 0.0

    async def websocket(
        self, node: NodeProcess, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Subscribe over WebSocket and read to the end, as an SDK does."""
        async with await Raw.open(node.http) as raw:
            await subscribe(raw)
            task_status.started()
            while (frame := await raw.frame()).opcode != CLOSE:
                for line in frame.payload.splitlines():
                    if push := json.loads(line).get("push"):
                        self.values.append(push["pub"]["data"])
            self.told, self.told_at = frame.close, trio.current_time()
            await raw.send_frame(CLOSE, frame.payload)
            assert await raw.rest() == b""

    async def event_stream(
        self, node: NodeProcess, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Subscribe over /sse and read to the end, as an EventSource does."""
        async with await Raw.open(node.http) as raw:
            await raw.request("GET /sse?channel=news HTTP/1.1\nHost: test\nAccept: text/event-stream")
            assert (await raw.answer()).status == 200
            while (await raw.event()).get("event") != "subscribed":
                pass
            task_status.started()
            while not self.told[0]:
                event = await raw.event()
                self.retry_ms = int(event.get("retry", self.retry_ms))
                if event.get("event") == "disconnect":
                    said = json.loads(event["data"])
                    self.told, self.told_at = (said["code"], said["reason"]), trio.current_time()
                elif "data" in event and "event" not in event:
                    self.values.append(json.loads(event["data"])["data"])
            assert await raw.rest() == b""


async def subscribe(raw: Raw) -> None:
    """Connect over WebSocket and subscribe to the channel of these tests."""
    assert (await raw.upgrade("/connection/websocket")).status == 101
    await raw.send_text(f"{CONNECT}\n{SUBSCRIBE}")
    replies: list[dict[str, Any]] = []
    while len(replies) < 2:
        replies += await raw.replies()
    assert "subscribe" in replies[1]


async def publish_on(raw: Raw, accepted: list[int], enough: trio.Event) -> None:
    """Publish one number after the other until the node takes no more."""
    try:
        while True:
            value = len(accepted)
            answer = await raw.post("/api/publish", {"channel": "news", "data": value}, KEY_FIELD)
            if "error" in answer:
                return
            accepted.append(value)
            if len(accepted) == 20:
                enough.set()
    except (EOFError, trio.BrokenResourceError):
        return


async def exit_status(node: NodeProcess) -> int:
    """Wait for the node's end."""
    await ended(node.process.pid)
    return node.process.wait()
