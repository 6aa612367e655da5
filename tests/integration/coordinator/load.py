"""Publishers beside many clients, and what must be true of all of them in the end; no test lives here."""

import json
from collections.abc import Callable, Sequence

import trio

from tests.integration.cluster import API_KEY
from tests.integration.coordinator.clients import Clients

CHANNELS = [f"smooth-{number}" for number in range(20)]


class Publisher:
    """Publishes numbers to every channel in turn, on one node, and remembers what was accepted."""

    def __init__(self, port: int, channels: Sequence[str] = CHANNELS, interval_s: float = 0.02) -> None:
        self.port = port
        self.accepted: dict[str, list[int]] = {channel: [] for channel in channels}
        self._interval_s = interval_s
        self._stopping = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        task_status.started()
        number = 0
        try:
            while not self._stopping:
                for channel in self.accepted:
                    if not await self._publish(stream, channel, number):
                        await stream.aclose()
                        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
                    self.accepted[channel].append(number)
                    await trio.sleep(self._interval_s)
                number += 1
        finally:
            await stream.aclose()

    def stop(self) -> None:
        self._stopping = True

    async def _publish(self, stream: trio.SocketStream, channel: str, number: int) -> bool:
        """Publish; returns whether the connection goes on: the node ends it when it leaves."""
        body = json.dumps({"channel": channel, "data": number}).encode()
        fields = f"Host: test\r\nX-API-Key: {API_KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all(f"POST /api/publish HTTP/1.1\r\n{fields}".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            data = await stream.receive_some()
            assert data, "the publisher's connection ended"
            answer += data
        assert b'"offset"' in answer, answer
        return b"connection: close" not in answer.lower()


async def in_time(condition: Callable[[], bool], limit_s: float = 60.0, *, every_s: float = 0.1) -> None:
    """Ask again until the condition holds: it is another process's."""
    with trio.fail_after(limit_s):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 - nobody sets an event
            await trio.sleep(every_s)


async def all_caught_up(clients: Clients, *publishers: Publisher, limit_s: float = 60.0) -> None:
    """Give every client the time to get the last publication; assertions find who has not by then."""
    await trio.sleep(0.5)  # what was being published is accepted by then
    published = {channel: told for publisher in publishers for channel, told in publisher.accepted.items()}
    with trio.move_on_after(limit_s):
        while any(client.seen[-1:] != published[client.channel][-1:] for client in clients.all):  # noqa: ASYNC110 - as above
            await trio.sleep(0.1)


def assert_nothing_lost(clients: Clients, *publishers: Publisher) -> None:
    """Every client has every publication since its first, once, in order."""
    published = {channel: told for publisher in publishers for channel, told in publisher.accepted.items()}
    for client in clients.all:
        accepted = published[client.channel]
        assert client.seen == accepted[len(accepted) - len(client.seen) :]
        assert client.lost == 0
