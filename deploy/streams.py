"""Compares the JetStream streams of a cluster with its config, and changes them when asked to.

What is wanted, what differs and how it is changed is decided in `node.broker.nats.streams`; here is the
connection, and the walk over every namespace and partition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from deploy.errors import UserError
from node.broker.interface import BrokerError, HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.epoch import decode_marker
from node.broker.nats.feed import Feed
from node.broker.nats.jetstream import JetStream
from node.broker.nats.keeper import new_marker_id
from node.broker.nats.spreading import Spread, found, respread
from node.broker.nats.streams import Change, apply, backups, check_possible, plan, retire, wanted
from node.broker.nats.subjects import Partition, Subjects
from node.config.nats_urls import hide_logins
from node.config.options import Config, NatsOptions

RETIRED = "this config keeps no history here: what is stored stays until it expires, recovery ends"
SPREAD = (
    "nearly every channel moves to another stream, without what it holds: a new epoch starts, clients"
    " subscribe afresh, and publishing waits for about a second. Who publishes to NATS directly has to use"
    " the new number"
)
SURPLUS = "one too many: it takes no publications any more; what is stored stays until it expires"


@dataclass(frozen=True, slots=True)
class StreamChanges:
    """What differs in one stream.

    Attributes:
        stream: its name.
        changes: none where it is as wanted.
    """

    stream: str
    changes: list[Change]


async def review(config: Config, *, changing: bool) -> list[StreamChanges]:
    """What differs between the streams and a config, one entry for each stream the config knows.

    Args:
        config: its `broker.nats` says where, its `channel` what is wanted.
        changing: make it so; what is returned was changed then.

    Raises:
        UserError: NATS cannot be reached, or refuses, or a change is impossible. Streams before that one
            are changed already; running it again goes on.
    """
    options = config.broker.nats
    feed = Feed(options, name="broadcast streams", on_broken=_nothing, on_restored=_nothing)
    failure: BrokerError | None = None
    reviewed: list[StreamChanges] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(feed.run)
        try:
            await feed.wait_connected(options.connect_deadline_s + options.reconnect_delay_max_s)
            walk = _Walk(JetStream(feed), options, Namespaces.of(config.channel), changing=changing)
            reviewed = await walk.all_streams()
        except BrokerError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise UserError(f"{hide_logins(options.url)}: {failure}") from failure
    return reviewed


class _Walk:
    """One pass over the streams."""

    def __init__(
        self, jetstream: JetStream, options: NatsOptions, namespaces: Namespaces, *, changing: bool
    ) -> None:
        self._jetstream = jetstream
        self._options = options
        self._namespaces = namespaces
        self._subjects = Subjects(options.prefix, namespaces)
        self._changing = changing
        self._deadline_s = float(options.request_deadline_s)

    async def all_streams(self) -> list[StreamChanges]:
        reviewed = []
        for namespace, store in self._namespaces.stores.items():
            spread = await found(
                self._jetstream, self._subjects, namespace, store.partitions, deadline_s=self._deadline_s
            )
            if store.history is not None:
                reviewed += await self._namespace(namespace, store, store.history, spread)
            else:
                for number in spread.numbers:
                    partition = Partition(namespace, number)
                    if changes := await self._not_kept(partition):
                        reviewed.append(StreamChanges(self._subjects.stream(partition), changes))
        return reviewed

    async def _namespace(
        self, namespace: str, store: NamespaceStore, history: HistoryOptions, spread: Spread
    ) -> list[StreamChanges]:
        partitions = [Partition(namespace, number) for number in range(store.partitions)]
        moving = spread.partitions not in (0, store.partitions)
        if self._changing and (moving or spread.surplus):
            for partition in partitions:
                # Before anything is changed: streams that could not be applied would refuse publications.
                target = wanted(self._subjects, partition, history, self._options)
                check_possible(target["name"], await self._planned(target))
            await respread(
                self._jetstream,
                self._subjects,
                namespace,
                spread.numbers,
                store.partitions,
                new_id=new_marker_id,
                deadline_s=self._deadline_s,
            )
        reviewed = []
        for partition in partitions:
            changes = await self._kept(partition, history)
            if moving and partition.number == 0:
                # That the stream takes publications again, after it was told to refuse them, is part of it.
                changes = [change for change in changes if change.setting != "subjects"]
                changes.insert(0, Change("history_partitions", spread.partitions, store.partitions, SPREAD))
            reviewed.append(StreamChanges(self._subjects.stream(partition), changes))
            reviewed += await self._backups(partition, history)
        for number in spread.surplus:
            name = self._subjects.stream(Partition(namespace, number))
            reviewed.append(StreamChanges(name, [Change("", name, None, SURPLUS)]))
        return reviewed

    async def _planned(self, target: Mapping[str, Any]) -> list[Change]:
        info = await self._jetstream.info(target["name"], deadline_s=self._deadline_s)
        return plan(info.settings if info else None, target)

    async def _kept(self, partition: Partition, history: HistoryOptions) -> list[Change]:
        target = wanted(self._subjects, partition, history, self._options)
        if self._changing:
            return await apply(
                self._jetstream,
                target,
                marker_subject=self._subjects.marker(partition),
                new_id=new_marker_id,
                deadline_s=self._deadline_s,
            )
        return await self._planned(target)

    async def _backups(self, partition: Partition, history: HistoryOptions) -> list[StreamChanges]:
        target = wanted(self._subjects, partition, history, self._options)
        reviewed = []
        for backup in backups(target, self._options):
            info = await self._jetstream.info(backup["name"], deadline_s=self._deadline_s)
            changes = plan(info.settings if info else None, backup)
            if self._changing and info is None:
                await self._jetstream.create(backup, deadline_s=self._deadline_s)
            elif self._changing and info is not None and changes:
                await self._jetstream.update({**info.settings, **backup}, deadline_s=self._deadline_s)
            reviewed.append(StreamChanges(backup["name"], changes))
        return reviewed

    async def _not_kept(self, partition: Partition) -> list[Change]:
        """A stream of a namespace that keeps no history any more is marked, so that no old epoch revives."""
        stream, marker_subject = self._subjects.stream(partition), self._subjects.marker(partition)
        if self._changing:
            done = await retire(
                self._jetstream,
                stream,
                marker_subject=marker_subject,
                new_id=new_marker_id,
                deadline_s=self._deadline_s,
            )
        else:
            stored = await self._jetstream.newest(stream, marker_subject, deadline_s=self._deadline_s)
            marker = decode_marker(stored.payload) if stored else None
            done = marker is not None and not marker.retired
        return [Change("", stream, None, RETIRED)] if done else []


def _nothing() -> None:
    """A connection that breaks shows in the request that fails."""
