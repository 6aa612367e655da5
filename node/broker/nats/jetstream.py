"""The JetStream API as requests over a feed: streams, acknowledged storing, reads from a stream's leader.

Only what a node needs, in the server's own words; no decision is made here. nats-py is not used inside a
node: it would be a second connection, a second way to authenticate and an asyncio loop.

Source: the JetStream wire API reference of docs.nats.io (2.11), checked against nats-server 2.15.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from node.broker.interface import BrokerRejected, BrokerUnavailable
from node.broker.nats.envelope import server_number, time_ms
from node.broker.nats.protocol import Msg
from node.protocol.json_text import UNDECODABLE

# `err_code`s that decide what to do next.
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
# Two names for the same thing: of a stream of one copy, and of one with several.
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
NO_MESSAGE_FOUND = 10037
# The first copy of a retried message is still on its way through the raft group.
DUPLICATE_IN_PROCESS = 10158
UNLIMITED = 2**53


class Requests(Protocol):
    """The part of a feed that this package asks through."""

    async def request(self, subject: str, payload: bytes, headers: bytes = b"", *, deadline_s: float) -> Msg:
        """One answer; BrokerUnavailable when there is none in time or nobody listens."""

    async def request_many(
        self,
        subject: str,
        payload: bytes,
        headers: bytes = b"",
        *,
        is_last: Callable[[Msg], bool],
        deadline_s: float,
    ) -> list[Msg]:
        """Every answer up to the last; BrokerUnavailable like `request`."""


class JetStreamError(BrokerRejected):
    """The server's own error.

    Args:
        err_code: which error exactly.
        description: the server's words.
    """

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(f"JetStream answered {err_code}: {description}")
        self.err_code = err_code


class _ApiError(Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class RePublish(Struct, frozen=True):
    """Where a stream sends a copy of what it stored."""

    src: str = ""
    dest: str = ""
    headers_only: bool = False


class Placement(Struct, frozen=True):
    """Where a stream is kept: the cluster, and the tags of its servers."""

    cluster: str = ""
    tags: tuple[str, ...] = ()


class StreamConfig(Struct, frozen=True):
    """The settings of a stream this package knows; times are nanoseconds, as in the API."""

    subjects: tuple[str, ...] = ()
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    num_replicas: int = 1
    max_msgs_per_subject: int = -1
    max_age: int = 0
    duplicate_window: int = 0
    allow_direct: bool = False
    republish: RePublish | None = None
    placement: Placement | None = None

    @property
    def limit(self) -> int:
        """Messages kept per subject; a very large number where there is no limit."""
        return self.max_msgs_per_subject if self.max_msgs_per_subject > 0 else UNLIMITED

    @property
    def max_age_s(self) -> float:
        """Seconds a message is kept; infinity where there is no limit."""
        return self.max_age / 1e9 if self.max_age > 0 else float("inf")


class StreamState(Struct, frozen=True):
    """How far a stream goes."""

    last_seq: int = 0


class StreamInfo(Struct, frozen=True):
    """A stream as its leader describes it.

    Attributes:
        settings: the whole configuration, settings unknown to this package included.
        created: when, in the server's form of time.
        state: how far it goes.
        ts: the leader's clock at the answer.
    """

    settings: dict[str, Any] = field(name="config", default_factory=dict)
    created: str = ""
    state: StreamState = StreamState()
    ts: str = ""

    @property
    def config(self) -> StreamConfig:
        """The settings this package knows."""
        return msgspec.convert(self.settings, StreamConfig)

    @property
    def created_ms(self) -> int:
        """When it was created, milliseconds since 1970."""
        return time_ms(self.created.encode())

    @property
    def now_ms(self) -> int:
        """The leader's clock at the answer, milliseconds since 1970."""
        return time_ms(self.ts.encode())


class StoredMessage(Struct, frozen=True):
    """A message as its stream's leader returns it."""

    seq: int = 0
    time: str = ""
    data: str = ""

    @property
    def payload(self) -> bytes:
        """The message's body."""
        return base64.b64decode(self.data)

    @property
    def time_ms(self) -> int:
        """When it was stored, milliseconds since 1970."""
        return time_ms(self.time.encode())


class Ack(Struct, frozen=True, gc=False):
    """A stream's answer to a message it stored, or had stored before."""

    seq: int = 0
    duplicate: bool = False
    error: _ApiError | UnsetType = UNSET


class _InfoAnswer(StreamInfo, frozen=True):
    error: _ApiError | UnsetType = UNSET


class _MessageAnswer(Struct, frozen=True):
    message: StoredMessage = StoredMessage()
    error: _ApiError | UnsetType = UNSET


class _NamesAnswer(Struct, frozen=True):
    streams: tuple[str, ...] | None = ()
    total: int = 0
    error: _ApiError | UnsetType = UNSET


class _PlainAnswer(Struct, frozen=True):
    error: _ApiError | UnsetType = UNSET


_A = TypeVar("_A", _InfoAnswer, _MessageAnswer, _NamesAnswer, _PlainAnswer)


_decode_ack = msgspec.json.Decoder(Ack).decode


def parse_ack(msg: Msg) -> Ack:
    """A stream's answer to a publish.

    Raises:
        BrokerUnavailable: the stream cannot store now, and may later.
        JetStreamError: it will not store this.
    """
    try:
        ack = _decode_ack(msg.payload)
    except UNDECODABLE as error:
        raise BrokerRejected(f"the answer to a publish is no acknowledgement: {error}") from None
    if ack.error is not UNSET:
        _raise(ack.error)
    return ack


def _raise(error: _ApiError) -> None:
    # 503 is JetStream's "not now": no leader, no quorum, overloaded.
    if error.code == 503 or error.err_code == DUPLICATE_IN_PROCESS:
        raise BrokerUnavailable(f"JetStream answered {error.err_code}: {error.description}")
    raise JetStreamError(error.err_code, error.description)


class JetStream:
    """The API, over one feed. Every call raises BrokerUnavailable or JetStreamError; none is retried here.

    Args:
        requests: the feed.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def info(self, stream: str, *, deadline_s: float) -> StreamInfo | None:
        """A stream's settings and state from its leader, None if there is no such stream."""
        try:
            return await self._ask(f"STREAM.INFO.{stream}", None, _InfoAnswer, deadline_s)
        except JetStreamError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return None
            raise

    async def create(self, settings: Mapping[str, Any], *, deadline_s: float) -> StreamInfo:
        """Create a stream; one that exists with the same settings is as good."""
        return await self._ask(f"STREAM.CREATE.{settings['name']}", settings, _InfoAnswer, deadline_s)

    async def update(self, settings: Mapping[str, Any], *, deadline_s: float) -> StreamInfo:
        """Change a stream; `settings` is the whole configuration."""
        return await self._ask(f"STREAM.UPDATE.{settings['name']}", settings, _InfoAnswer, deadline_s)

    async def names(self, subject: str, *, deadline_s: float) -> tuple[str, ...]:
        """The streams that store subjects overlapping this one."""
        names: tuple[str, ...] = ()
        while True:
            query = {"subject": subject, "offset": len(names)}
            answer = await self._ask("STREAM.NAMES", query, _NamesAnswer, deadline_s)
            names += answer.streams or ()
            if not answer.streams or len(names) >= answer.total:
                return names

    async def purge(self, stream: str, subject: str, below: int, *, deadline_s: float) -> None:
        """Remove a subject's messages with a sequence lower than `below`."""
        query = {"filter": subject, "seq": below}
        await self._ask(f"STREAM.PURGE.{stream}", query, _PlainAnswer, deadline_s)

    async def newest(self, stream: str, subject: str, *, deadline_s: float) -> StoredMessage | None:
        """A subject's newest message from the stream's leader, None if none is stored."""
        try:
            answer = await self._ask(
                f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, _MessageAnswer, deadline_s
            )
        except JetStreamError as error:
            if error.err_code == NO_MESSAGE_FOUND:
                return None
            raise
        return answer.message

    async def store(self, subject: str, payload: bytes, headers: bytes, *, deadline_s: float) -> Ack:
        """Publish to a stream and wait until it has stored the message."""
        return parse_ack(await self._requests.request(subject, payload, headers, deadline_s=deadline_s))

    async def direct(self, stream: str, query: Mapping[str, Any], *, deadline_s: float) -> list[Msg]:
        """A batched direct get: the messages and, last, the status. Any replica may answer."""
        return await self._requests.request_many(
            f"$JS.API.DIRECT.GET.{stream}",
            msgspec.json.encode(query),
            is_last=_has_status,
            deadline_s=deadline_s,
        )

    async def first_since(self, stream: str, start_time: str, *, deadline_s: float) -> int:
        """Sequence of the first message, of any subject, stored at or after a time; 0 if there is none."""
        query = msgspec.json.encode({"start_time": start_time, "next_by_subj": ">"})
        msg = await self._requests.request(f"$JS.API.DIRECT.GET.{stream}", query, deadline_s=deadline_s)
        return 0 if msg.status else server_number(msg.headers, b"Nats-Sequence")

    async def _ask(self, call: str, query: object, answer_type: type[_A], deadline_s: float) -> _A:
        payload = b"" if query is None else msgspec.json.encode(query)
        msg = await self._requests.request(f"$JS.API.{call}", payload, deadline_s=deadline_s)
        try:
            answer = msgspec.json.decode(msg.payload, type=answer_type)
        except UNDECODABLE as error:
            raise BrokerRejected(f"the answer to {call} cannot be read: {error}") from None
        if answer.error is not UNSET:
            _raise(answer.error)
        return answer


def _has_status(msg: Msg) -> bool:
    return msg.status != 0
