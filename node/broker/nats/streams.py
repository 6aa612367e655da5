"""The streams a configuration wants, what differs from those that exist, and how to get there.

`wanted` and `plan` are pure; `apply` is what `broadcast streams apply` does. A node only ever calls
`wanted`, to create a stream that is missing: nodes with two versions of a configuration, in the middle of a
deploy, would otherwise change it back and forth.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from node.broker.interface import BrokerRejected, HistoryOptions
from node.broker.nats.envelope import EXPECTED_HEAD
from node.broker.nats.epoch import Marker, decode_marker, encode_marker
from node.broker.nats.jetstream import WRONG_LAST_SEQUENCE, JetStream, JetStreamError, StreamConfig
from node.broker.nats.subjects import Partition, Subjects
from node.config.options import NatsOptions

_NANOSECONDS = 1_000_000_000
NEW_EPOCH = "clients cannot recover over this change: a new epoch starts and they subscribe afresh"
IMPOSSIBLE = "JetStream cannot change this: use another prefix, or remove the stream with all it holds"


def wanted(
    subjects: Subjects, partition: Partition, history: HistoryOptions, options: NatsOptions
) -> dict[str, Any]:
    """The settings of one stream, in the form of the JetStream API."""
    max_age = round(history.meta_ttl_s * _NANOSECONDS)
    return {
        "name": subjects.stream(partition),
        "subjects": [subjects.store_all(partition), subjects.marker(partition)],
        "storage": options.stream_storage,
        "num_replicas": options.stream_replicas,
        **_placed(options.stream_cluster, options.stream_tags),
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": history.stored,
        "max_age": max_age,
        # JetStream refuses a window longer than messages are kept.
        "duplicate_window": min(round(options.duplicate_window * _NANOSECONDS), max_age),
        "allow_direct": True,
        "republish": {"src": subjects.store_all(partition), "dest": subjects.live_template(partition)},
    }


def _placed(cluster: str, tags: tuple[str, ...]) -> dict[str, Any]:
    """Where JetStream is to keep a stream; nothing leaves it to the servers, and where it is."""
    asked = {"cluster": cluster, "tags": list(tags)}
    placement = {name: value for name, value in asked.items() if value}
    return {"placement": placement} if placement else {}


def backups(target: Mapping[str, Any], options: NatsOptions) -> list[dict[str, Any]]:
    """The settings of a stream's copies in other clusters, which nobody reads.

    They have the stream as their source and are no mirrors: the servers let every mirror of a stream that is
    read directly answer those reads too, and behind a way that is cut it would say that nothing was missed.

    Args:
        target: of the stream itself, from `wanted`.
        options: name the clusters.
    """
    kept = ("storage", "num_replicas", "retention", "discard", "max_msgs_per_subject", "max_age")
    return [
        {
            **{setting: target[setting] for setting in kept},
            "name": f"{target['name']}-{cluster}",
            "sources": [{"name": target["name"]}],
            **_placed(cluster, ()),
        }
        for cluster in options.stream_backups
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a stream and what is wanted.

    Attributes:
        setting: JetStream's name of it, "" for the stream as a whole.
        current, wanted: the two values.
        meaning: what it does to those who use the cluster.
        possible: whether JetStream can do it.
    """

    setting: str
    current: object
    wanted: object
    meaning: str
    possible: bool = True


def _limit(current: StreamConfig, target: StreamConfig) -> str:
    return (
        NEW_EPOCH if target.limit > current.limit else "the oldest publications of full channels are removed"
    )


def _age(current: StreamConfig, target: StreamConfig) -> str:
    if target.max_age_s > current.max_age_s:
        return "positions stay meaningful for longer, and so much more is kept on disk"
    return "older messages are removed; clients away for longer cannot recover"


def _says(text: str) -> Callable[[StreamConfig, StreamConfig], str]:
    return lambda _current, _target: text


# Setting -> what changing it means. What is not here is not compared.
_MEANINGS: dict[str, Callable[[StreamConfig, StreamConfig], str]] = {
    "max_msgs_per_subject": _limit,
    "max_age": _age,
    "duplicate_window": _says("how long a repeated idempotency key finds the first publication"),
    "num_replicas": _says("copies are made or dropped; the stream keeps working"),
    "placement": _says("the stream moves to other servers, and keeps working meanwhile"),
    "allow_direct": _says("history is read from any replica; without it nodes cannot read"),
    "republish": _says("live copies; without them subscribers get nothing of this stream"),
    "subjects": _says("what is stored in this stream"),
    "discard": _says("what happens when the stream is full"),
    "storage": _says(IMPOSSIBLE),
    "retention": _says(IMPOSSIBLE),
}
_FIXED = frozenset({"storage", "retention"})


def plan(current: Mapping[str, Any] | None, target: Mapping[str, Any]) -> list[Change]:
    """What differs, in words.

    Args:
        current: the settings of the stream that exists, None if none does.
        target: from `wanted`.
    """
    if current is None:
        return [Change("", None, target["name"], "the stream is created; history starts now")]
    before = msgspec.convert(current, StreamConfig)
    after = msgspec.convert(target, StreamConfig)
    changes = []
    for setting, meaning in _MEANINGS.items():
        if setting == "placement" and after.placement is None:
            continue
        old, new = getattr(before, setting), getattr(after, setting)
        if setting == "subjects":
            old, new = tuple(sorted(old)), tuple(sorted(new))
        if old != new:
            changes.append(Change(setting, old, new, meaning(before, after), setting not in _FIXED))
    return changes


def check_possible(stream: str, changes: Iterable[Change]) -> None:
    """Refuse what JetStream cannot do.

    Raises:
        BrokerRejected: one of the changes is impossible; says which, and the way out.
    """
    for change in changes:
        if not change.possible:
            raise BrokerRejected(
                f"stream {stream}: {change.setting} is {change.current!r}, wanted {change.wanted!r}."
                f" {change.meaning}"
            )


async def apply(
    jetstream: JetStream,
    target: Mapping[str, Any],
    *,
    marker_subject: str,
    new_id: Callable[[], str],
    deadline_s: float,
) -> list[Change]:
    """Make one stream as wanted and return what was changed.

    Args:
        jetstream: where.
        target: from `wanted`.
        marker_subject: the stream's, from `Subjects.marker`.
        new_id: makes the random id of a new epoch.
        deadline_s: for each request, seconds.

    Raises:
        BrokerRejected: one of the changes is impossible, and none was made; or the server refused one.
        BrokerUnavailable: the server did not answer; run it again.
    """
    name = target["name"]
    info = await jetstream.info(name, deadline_s=deadline_s)
    changes = plan(info.settings if info else None, target)
    if info is None:
        await jetstream.create(target, deadline_s=deadline_s)
        return changes
    check_possible(name, changes)
    if not changes:
        return []
    stored = await jetstream.newest(name, marker_subject, deadline_s=deadline_s)
    marker = decode_marker(stored.payload) if stored else None
    limit = msgspec.convert(target, StreamConfig).limit
    head = stored.seq if stored else 0
    if marker is not None and limit < marker.limit:
        # First the marker, then the stream: at no time do proofs count on more than is kept.
        lowered = msgspec.structs.replace(marker, limit=limit)
        try:
            head = await write_marker(jetstream, marker_subject, lowered, head, deadline_s)
        except JetStreamError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            # A node has just refreshed the marker, and nothing is changed yet: from the start again.
            return await apply(
                jetstream, target, marker_subject=marker_subject, new_id=new_id, deadline_s=deadline_s
            )
    await jetstream.update({**info.settings, **target}, deadline_s=deadline_s)
    if marker is not None and limit > marker.limit:
        try:
            raised = msgspec.structs.replace(marker, id=new_id(), limit=limit, retired=False)
            await write_marker(jetstream, marker_subject, raised, head, deadline_s)
        except JetStreamError as error:
            # A node saw the stream change and has begun the new epoch by itself; which of us did is all one.
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
    return changes


async def retire(
    jetstream: JetStream, stream: str, *, marker_subject: str, new_id: Callable[[], str], deadline_s: float
) -> bool:
    """Say in a stream that its namespace keeps no history any more; False if that was said before.

    The stream and what it holds stay until messages expire or somebody removes it. Publications from now
    on are not in it, so the next node that keeps history there must start a new epoch.
    """
    stored = await jetstream.newest(stream, marker_subject, deadline_s=deadline_s)
    marker = decode_marker(stored.payload) if stored else None
    if stored is None or marker is None or marker.retired:
        return False
    retired = msgspec.structs.replace(marker, id=new_id(), retired=True)
    await write_marker(jetstream, marker_subject, retired, stored.seq, deadline_s)
    return True


async def write_marker(
    jetstream: JetStream, subject: str, marker: Marker, expected_head: int, deadline_s: float
) -> int:
    """Store a marker if `expected_head` is still the newest one's sequence; returns the new sequence.

    Raises:
        JetStreamError: with WRONG_LAST_SEQUENCE when somebody else was first.
    """
    headers = b"NATS/1.0\r\n%b: %d\r\n\r\n" % (EXPECTED_HEAD, expected_head)
    return (await jetstream.store(subject, encode_marker(marker), headers, deadline_s=deadline_s)).seq
