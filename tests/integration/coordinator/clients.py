"""Many clients that behave as the SDKs do when they are sent away; each writes down what it got.

A client asks a coordinator where to go, connects there over a WebSocket in JSON, subscribes with the position
it has, and comes back after a delay of the SDKs' kind when its connection ends or is refused.
"""

import json
import random
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
import trio

# centrifuge-js: at least this, at most twice this the first time, then twice as much each time.
MIN_DELAY_S = 0.5
MAX_DELAY_S = 20.0


def backoff_s(attempt: int, rng: random.Random) -> float:
    """The delay before the next attempt, as in centrifuge-js."""
    return min(
        MAX_DELAY_S, MIN_DELAY_S + rng.uniform(0, min(MAX_DELAY_S, MIN_DELAY_S * 2 ** min(attempt, 31)))
    )


@dataclass
class Client:
    """One client of one channel.

    Attributes:
        seen: the data of every publication, in the order in which they came.
        closes: code and reason of every close that it was sent.
        pauses: seconds from each end of a connection to being subscribed again.
        delays: of each pause, the seconds that it waited by itself.
        ages: of each connection that ended, seconds since it was subscribed.
        gaps: seconds from the last publication on one node to the first on the next, and of these the ones
            that it waited by itself.
        node: where it is, "" between two connections.
    """

    channel: str
    rng: random.Random
    seen: list[int] = field(default_factory=list)
    closes: list[tuple[int, str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    node: str = ""
    position: dict[str, object] | None = None
    _began_at: float = 0.0
    _ended_at: float | None = None
    _waited_s: float = 0.0
    _heard_at: float | None = None
    _moved: bool = False

    async def run(self, fleet: "Clients") -> None:
        attempt = 0
        while True:
            try:
                place = await fleet.discover()
                if place is not None and await self._session(place["node"], place["url"], fleet):
                    attempt = 0
            except (OSError, trio.BrokenResourceError):
                pass
            self.node = ""
            fleet.changed()
            delay_s = backoff_s(attempt, self.rng)
            attempt += 1
            self._waited_s += delay_s
            await trio.sleep(delay_s)

    async def _session(self, node: str, url: str, fleet: "Clients") -> bool:
        """One connection, to its end; returns whether it was subscribed."""
        address = urlsplit(url)
        stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)
        async with stream:
            request = (
                f"GET {address.path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await stream.send_all(request.encode())
            received = bytearray()
            while b"\r\n\r\n" not in received:
                data = await stream.receive_some()
                if not data:
                    return False
                received += data
            head, _, rest = bytes(received).partition(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.refused += 1
                return False
            subscribe: dict[str, object] = {"channel": self.channel}
            if self.position is not None:
                subscribe |= {"recover": True, **self.position}
            commands = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": subscribe}]
            await stream.send_all(_frame("\n".join(map(json.dumps, commands)).encode()))
            return await self._read(stream, bytearray(rest), node, fleet)

    async def _read(
        self, stream: trio.SocketStream, received: bytearray, node: str, fleet: "Clients"
    ) -> bool:
        subscribed = False
        while True:
            for opcode, payload in _frames(received):
                if opcode == 8:
                    self.closes.append((int.from_bytes(payload[:2], "big"), payload[2:].decode()))
                    self._ended()
                    await stream.send_all(_frame(payload[:2], 8))
                    return subscribed
                if opcode == 1:
                    for line in payload.split(b"\n"):
                        if line == b"{}":
                            await stream.send_all(_frame(b"{}"))
                        elif self._heard(msgspec.json.decode(line)):
                            subscribed = True
                            self.node = node
                            fleet.changed()
            data = await stream.receive_some()
            if not data:
                self._ended()
                return subscribed
            received += data

    def _ended(self) -> None:
        self._ended_at, self._waited_s, self._moved = trio.current_time(), 0.0, True
        self.ages.append(self._ended_at - self._began_at)

    def _heard(self, reply: dict[str, object]) -> bool:
        """Take in one reply; returns whether it is the subscription."""
        subscribe, push = reply.get("subscribe"), reply.get("push")
        if isinstance(subscribe, dict):
            if self.position is not None and not subscribe.get("recovered"):
                self.lost += 1
            self.position = {"epoch": subscribe["epoch"], "offset": subscribe.get("offset", 0)}
            for publication in subscribe.get("publications", []):
                self._publication(publication)
            self._began_at = trio.current_time()
            if self._ended_at is not None:
                self.pauses.append(trio.current_time() - self._ended_at)
                self.delays.append(self._waited_s)
            return True
        if isinstance(push, dict) and isinstance(push.get("pub"), dict):
            self._publication(push["pub"])
        return False

    def _publication(self, publication: dict[str, object]) -> None:
        now = trio.current_time()
        if self._moved and self._heard_at is not None:
            self.gaps.append((now - self._heard_at, self._waited_s))
        self._heard_at, self._moved = now, False
        self.seen.append(int(str(publication["data"])))
        assert self.position is not None
        self.position["offset"] = publication["offset"]


class Clients:
    """All clients of a test; `run` them in a nursery.

    Args:
        channels: of each client, one after another.
        coordinator_port: of the coordinator that is asked where to go.
        rate: how many come per second at first.
    """

    def __init__(self, channels: list[str], coordinator_port: int, rate: int = 250) -> None:
        self.all = [Client(channel, random.Random(number)) for number, channel in enumerate(channels)]
        self.coordinator_port = coordinator_port
        self._interval_s = 10 / rate
        self._news = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for number, client in enumerate(self.all):
                nursery.start_soon(client.run, self)
                if number % 10 == 9:
                    await trio.sleep(self._interval_s)  # so that the first connects are no storm of their own

    async def discover(self) -> dict[str, str] | None:
        """A place to go; None while there is none."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.coordinator_port)
        async with stream:
            await stream.send_all(b"GET /discover HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            answer = b"".join([data async for data in stream])
        head, _, body = answer.partition(b"\r\n\r\n")
        return dict(json.loads(body)) if b" 200 " in head.split(b"\r\n")[0] else None

    def changed(self) -> None:
        self._news.set()

    def on(self, node: str) -> int:
        """How many are on a node."""
        return sum(client.node == node for client in self.all)

    @property
    def refused(self) -> int:
        """How often a node refused one of them."""
        return sum(client.refused for client in self.all)

    @property
    def settled(self) -> bool:
        return all(client.node for client in self.all)

    async def until_settled(self, limit_s: float) -> None:
        with trio.fail_after(limit_s):
            while not self.settled:
                self._news = trio.Event()
                await self._news.wait()


def _frame(payload: bytes, opcode: int = 1) -> bytes:
    """A client's frame; the mask is zero, which masks nothing and is one (RFC 6455, section 5.3)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload


def _frames(received: bytearray) -> list[tuple[int, bytes]]:
    """Take the whole frames off the front of what was received; a server's are not masked."""
    frames = []
    while len(received) >= 2:
        size, start = received[1], 2
        if size == 126:
            size, start = int.from_bytes(received[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(received[2:10], "big"), 10
        if len(received) < start + size:
            break
        frames.append((received[0] & 15, bytes(received[start : start + size])))
        del received[: start + size]
    return frames
