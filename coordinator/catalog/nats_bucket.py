"""A key-value bucket that is followed: what is new in it is asked for, and whether it is still the same.

A watch, which the servers would push, costs several times more: every message alone wakes the loops of trio
and asyncio. It must be checked for what it missed anyway, with the very question that is asked here.
"""

import json
from typing import Any, NamedTuple, NoReturn

import structlog
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE, KeyValue

from coordinator.catalog.interface import CatalogUnavailable
from coordinator.catalog.nats_link import Link

logger = structlog.get_logger(__name__)

NOT_FOUND = 404
_NAME_IN_USE = 10058
_BATCH = 1000


class Renewed(Exception):
    """The bucket is gone, or another, or lost what it held: it must be opened and read from its beginning."""


class Entry(NamedTuple):
    """A key as it is.

    Attributes:
        key: its name.
        value: its value; of no meaning if it is gone.
        revision: of this.
        gone: it was deleted.
    """

    key: str
    value: bytes
    revision: int
    gone: bool


class Bucket:
    """A bucket that exists; made by `open_bucket`.

    Args:
        link: the connection.
        name: of the bucket.
        values: nats-py's bucket, for writing.
    """

    def __init__(self, link: Link, name: str, values: KeyValue) -> None:
        self.name = name
        self.values = values
        self._link = link
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._created = ""
        self._read = 0
        self._entries = 0
        self._last = 0
        self._stored = 0

    @property
    def complete(self) -> bool:
        """Whether all that was stored at the last question is read; a replica that lags may have answered."""
        return self._read >= self._last or self._entries >= self._stored

    async def news(self) -> list[Entry]:
        """What was written since the last time, of each key the last; the first time all there is.

        Raises:
            CatalogUnavailable: no answer.
            Renewed: it is not the bucket that was read before.
        """
        await self._look()
        entries: list[Entry] = []
        query = {"batch": _BATCH, "next_by_subj": f"{self._prefix}>"}
        read = self._read
        while read < self._last:
            wanted = json.dumps({"seq": read + 1, **query}).encode()
            found = await self._link.many(f"$JS.API.DIRECT.GET.{self._stream}", wanted)
            entries += map(self._entry, found)
            read = entries[-1].revision if entries else read
            if len(found) < _BATCH:
                break
        # Not before all of it is here: what is not handed over is asked for again.
        self._read = read
        self._entries += len(entries)
        return entries

    async def last(self, key: str) -> Entry | None:
        """A key as its stream's leader has it, which no other replica can be behind; raises like `news`."""
        try:
            found = await self._link.ask(
                self._link.jetstream.get_last_msg(self._stream, f"{self._prefix}{key}")
            )
        except APIError as error:
            if error.code == NOT_FOUND:
                return None
            unavailable(error)
        gone = (found.headers or {}).get(KV_OP) in (KV_DEL, KV_PURGE)
        return Entry(key, found.data or b"", found.seq or 0, gone)

    async def _look(self) -> None:
        """Ask the stream's leader how far it goes, and if it is the stream it was."""
        answer = json.loads(await self._link.api(f"STREAM.INFO.{self._stream}"))
        if (problem := answer.get("error")) is not None:
            if problem.get("code") == NOT_FOUND:
                raise Renewed(f"bucket {self.name} is gone")
            raise CatalogUnavailable(f"bucket {self.name}: {problem.get('description')}")
        if self._created not in ("", answer["created"]):
            raise Renewed(f"bucket {self.name} is new")
        self._created = answer["created"]
        self._last, self._stored = answer["state"]["last_seq"], answer["state"]["messages"]
        if self._last < self._read:
            raise Renewed(f"bucket {self.name} lost what it held")

    def _entry(self, msg: Msg) -> Entry:
        headers: dict[str, Any] = msg.headers or {}
        key = headers["Nats-Subject"].removeprefix(self._prefix)
        return Entry(key, msg.data, int(headers["Nats-Sequence"]), headers.get(KV_OP) in (KV_DEL, KV_PURGE))


async def open_bucket(link: Link, config: KeyValueConfig) -> Bucket:
    """Open a bucket, which is created if it is missing.

    Raises:
        CatalogUnavailable: it cannot be.
    """
    try:
        values = await link.ask(link.jetstream.create_key_value(config))
    except APIError as error:
        if error.err_code != _NAME_IN_USE:
            unavailable(error)
        logger.warning("catalog bucket has other settings than configured", bucket=config.bucket)
        values = await link.ask(link.jetstream.key_value(config.bucket))
    return Bucket(link, config.bucket, values)


def unavailable(error: APIError) -> NoReturn:
    """The servers refuse."""
    raise CatalogUnavailable(str(error)) from error
