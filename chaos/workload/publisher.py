"""One publisher: publishes over the HTTP API, and writes down what it knows of each publication's fate.

What is not known is tried again under the same idempotency key, on any node, as a careful backend does; on
a plain channel a key has no effect, so there it stays unknown.
"""

import random
import time
from typing import Any, NamedTuple

import msgspec
import trio

from chaos.generator import Publication
from chaos.history import Outcome, Published
from chaos.history_file import HistoryWriter
from chaos.workload.backoff import delay_s
from chaos.workload.delays import Delays
from chaos.workload.http import BadAnswer, answer_head, request

_ANSWER_MAX_S = 5.0
_GIVE_UP_S = 20.0
_CONNECT_MAX_S = 2.0
_AVOIDED_S = 3.0
_READ_BYTES = 16_384
_OK = 200
_UNAVAILABLE = 503
# Said of what may have been stored all the same; server API reference.
_INTERNAL_ERROR = 100


class Address(NamedTuple):
    """A node as clients and publishers reach it."""

    name: str
    host: str
    port: int


class Head(NamedTuple):
    """The last publication of a channel that was accepted; `sent` is when, seconds."""

    id: str
    epoch: str
    offset: int
    sent: float = 0.0

    def follows(self, other: "Head") -> bool:
        """Whether it is the later one; offsets of two epochs do not compare."""
        return self.offset >= other.offset if self.epoch == other.epoch else self.sent >= other.sent


class _Fate(NamedTuple):
    """What one attempt came to.

    Attributes:
        outcome: ok, fail (it cannot have been stored) or unknown.
    """

    outcome: Outcome
    reason: str = ""
    offset: int = 0
    epoch: str = ""
    final: bool = False


class _Result(msgspec.Struct):
    offset: int = 0
    epoch: str = ""


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Answer(msgspec.Struct):
    result: _Result | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class Publisher:
    """See the module.

    Args:
        nodes: where it may go; changed in place by others.
        history: where it writes.
        api_key: of the nodes.
        plain_namespace: channels in it keep no history.
        chance: its own.
        delays: are told what is sent.

    Attributes:
        heads: the last accepted publication, by channel.
        accepted: how many were.
    """

    def __init__(
        self,
        nodes: list[Address],
        history: HistoryWriter,
        api_key: str,
        plain_namespace: str,
        chance: random.Random,
        delays: Delays,
    ) -> None:
        self.heads: dict[str, Head] = {}
        self.accepted = 0
        self._nodes = nodes
        self._history = history
        self._api_key = api_key
        self._plain = f"{plain_namespace}:"
        self._chance = chance
        self._delays = delays
        self._avoided: dict[Address, float] = {}
        self._streams: dict[Address, trio.SocketStream] = {}

    async def run(self, publications: trio.MemoryReceiveChannel[Publication]) -> None:
        """Publish what is handed over, one after another; what is under way when cancelled stays unknown."""
        try:
            async for publication in publications:
                await self.publish(publication)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        for stream in self._streams.values():
            stream.socket.close()
        self._streams.clear()

    async def publish(self, publication: Publication) -> None:
        """Publish, and try again until its fate is known or patience ends."""
        plain = publication.channel.startswith(self._plain)
        body = _body(publication, keyed=not plain)
        node = self._usable(self._nodes[publication.node % len(self._nodes)])
        begun = time.monotonic()
        self._delays.sent(publication.id, begun)
        self._note(publication, node, _Fate("invoke"))
        deadline = trio.current_time() + _GIVE_UP_S
        sent = False
        attempt = 0
        while True:
            fate = await self._attempt(node, body)
            sent = sent or fate.outcome == "unknown"
            over = fate.outcome == "ok" or fate.final or (sent and plain)
            if over or trio.current_time() > deadline:
                break
            await trio.sleep(delay_s(attempt, self._chance) / 2)
            attempt += 1
            self._avoided[node] = trio.current_time() + _AVOIDED_S
            node = self._usable(node)
        if fate.outcome == "fail" and sent:
            fate = fate._replace(outcome="unknown")
        if fate.outcome == "ok":
            self.accepted += 1
            self._remember(publication.channel, Head(publication.id, fate.epoch, fate.offset, begun))
        self._note(publication, node, fate)

    def _usable(self, node: Address) -> Address:
        """This node, or another if it failed a moment ago: a load balancer would have noticed too."""
        now = trio.current_time()
        if self._avoided.get(node, 0.0) <= now:
            return node
        others = [other for other in self._nodes if self._avoided.get(other, 0.0) <= now]
        return self._chance.choice(others or self._nodes)

    def _remember(self, channel: str, accepted: Head) -> None:
        head = self.heads.get(channel)
        if head is None or accepted.follows(head):
            self.heads[channel] = accepted

    async def _attempt(self, node: Address, body: bytes) -> _Fate:
        """Ask one node; the connection is kept where the answer allows it."""
        stream = self._streams.pop(node, None)
        if stream is None:
            try:
                with trio.fail_after(_CONNECT_MAX_S):
                    stream = await trio.open_tcp_stream(node.host, node.port)
            except (OSError, trio.TooSlowError) as error:
                return _Fate("fail", f"not connected: {error}")
        try:
            with trio.fail_after(_ANSWER_MAX_S):
                fate = await self._exchange(stream, node, body)
        except (trio.BrokenResourceError, trio.TooSlowError, BadAnswer, msgspec.MsgspecError) as error:
            fate = _Fate("unknown", f"{type(error).__name__}: {error}")
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        if self._streams.get(node) is not stream:
            await trio.aclose_forcefully(stream)
        return fate

    async def _exchange(self, stream: trio.SocketStream, node: Address, body: bytes) -> _Fate:
        fields = {"Content-Type": "application/json"}
        if self._api_key:
            fields["X-API-Key"] = self._api_key
        await stream.send_all(request("POST", "/api/publish", f"{node.host}:{node.port}", fields, body))
        received = b""
        while True:
            data = await stream.receive_some(_READ_BYTES)
            if not data:
                return _Fate("unknown", "the connection ended before the answer")
            received += data
            answer = answer_head(received)
            if answer is None:
                continue
            length = int(answer.fields.get("content-length", "0"))
            if len(received) >= answer.length + length:
                if answer.fields.get("connection", "").lower() != "close":
                    self._streams[node] = stream
                return _fate_of(answer.status, received[answer.length :])

    def _note(self, publication: Publication, node: Address, fate: _Fate) -> None:
        self._history.write(
            Published(
                time.monotonic(),
                fate.outcome,
                publication.id,
                publication.publisher,
                publication.channel,
                node.name,
                fate.offset,
                fate.epoch,
                fate.reason,
            )
        )


def _body(publication: Publication, *, keyed: bool) -> bytes:
    """A publish request whose data is about as long as asked for."""
    data = {"id": publication.id, "pad": ""}
    data["pad"] = "x" * max(0, publication.payload_bytes - len(msgspec.json.encode(data)))
    key = {"idempotency_key": publication.id} if keyed else {}
    return msgspec.json.encode({"channel": publication.channel, "data": data, **key})


def _fate_of(status: int, body: Any) -> _Fate:
    if status != _OK:
        # Refused before it was looked at, or by something in between that knows nothing.
        refused = status == _UNAVAILABLE or 400 <= status < 500
        return _Fate("fail" if refused else "unknown", f"HTTP {status}", final=400 <= status < 500)
    answer = _decode(body)
    if answer.error is not None:
        unknown = answer.error.code == _INTERNAL_ERROR
        reason = f"{answer.error.code}: {answer.error.message}"
        return _Fate("unknown" if unknown else "fail", reason, final=not unknown)
    result = answer.result or _Result()
    return _Fate("ok", "", result.offset, result.epoch)
