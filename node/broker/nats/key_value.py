"""A key-value bucket over the feed: as much of one as a node needs.

A bucket is a stream with one message per key; nats-py and `nats kv` read and write the same (ADR-8 of
nats-architecture-and-design). Knows no catalog. Nothing is tried again here.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from node.broker.interface import BrokerRejected
from node.broker.nats.envelope import server_number
from node.broker.nats.feed import Feed
from node.broker.nats.jetstream import STREAM_NAME_IN_USE, JetStream, JetStreamError
from node.broker.nats.protocol import Msg
from node.broker.nats.subscription import Subscription

_NANOSECONDS = 1_000_000_000
# The form of a bucket that nats-py and the others agree on: no longer than two minutes.
_DUPLICATE_WINDOW_S = 120.0
_OPERATION = b"\r\nKV-Operation:"
_DELETE = b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"
_NOT_FOUND = 404


class Bucket:
    """One bucket.

    Args:
        feed: the connection.
        name: letters, digits, `-` and `_`.
    """

    def __init__(self, feed: Feed, name: str) -> None:
        self._feed = feed
        self._jetstream = JetStream(feed)
        self._name = name
        self._stream = f"KV_{name}"

    async def create(self, *, max_age_s: float, replicas: int, deadline_s: float) -> bool:
        """Create the bucket, values in memory, unless there is one.

        Args:
            max_age_s: after which a value vanishes, seconds.
            replicas: copies of it.
            deadline_s: for the answer, seconds.

        Returns:
            Whether the bucket is as wanted now; False: there is one with other settings.

        Raises:
            BrokerUnavailable: no answer.
            BrokerRejected: the servers refuse.
        """
        try:
            await self._jetstream.create(self._settings(max_age_s, replicas), deadline_s=deadline_s)
        except JetStreamError as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise
            return False
        return True

    async def exists(self, *, deadline_s: float) -> bool:
        """Whether there is such a bucket; raises like `create`."""
        return await self._jetstream.info(self._stream, deadline_s=deadline_s) is not None

    async def put(self, key: str, value: bytes, *, deadline_s: float) -> int:
        """Write a value and wait until it is stored; returns its revision. Raises like `create`."""
        return (await self._jetstream.store(self._subject(key), value, b"", deadline_s=deadline_s)).seq

    async def delete(self, key: str, *, deadline_s: float) -> None:
        """Write that a key is gone, for those who watch it too; raises like `create`."""
        await self._jetstream.store(self._subject(key), b"", _DELETE, deadline_s=deadline_s)

    async def get(self, key: str, *, deadline_s: float) -> tuple[bytes, int] | None:
        """A value and its revision, None if there is none; raises like `create`."""
        msg = await self._feed.request(
            f"$JS.API.DIRECT.GET.{self._stream}",
            msgspec.json.encode({"last_by_subj": self._subject(key)}),
            deadline_s=deadline_s,
        )
        if msg.status == _NOT_FOUND or _OPERATION in msg.headers:
            return None
        if msg.status:
            raise BrokerRejected(f"reading {key} of bucket {self._name}: {msg.status} {msg.status_text}")
        return msg.payload, server_number(msg.headers, b"Nats-Sequence")

    def watch(self, key: str, deliver: Callable[[bytes], None]) -> Subscription:
        """Have every value that is written from now on, b"" for a deletion; to be unsubscribed at the feed.

        It is told what is written, not what is stored: with writers that compare and set, use `get`.
        """

        def receive(msg: Msg) -> None:
            deliver(b"" if _OPERATION in msg.headers else msg.payload)

        return self._feed.subscribe(self._subject(key), receive)

    def _subject(self, key: str) -> str:
        return f"$KV.{self._name}.{key}"

    def _settings(self, max_age_s: float, replicas: int) -> dict[str, Any]:
        return {
            "name": self._stream,
            "subjects": [self._subject(">")],
            "storage": "memory",
            "num_replicas": replicas,
            "discard": "new",
            "max_age": round(max_age_s * _NANOSECONDS),
            "max_msgs_per_subject": 1,
            "max_consumers": -1,
            "max_msgs": -1,
            "duplicate_window": round(min(max_age_s, _DUPLICATE_WINDOW_S) * _NANOSECONDS),
            "deny_delete": True,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
        }
