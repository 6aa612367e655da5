"""Spreading a namespace over another number of streams: what `broadcast streams apply` does then.

Nearly every channel leads to another stream afterwards, so the epoch ends everywhere, and no node may store
by the old count once another looks by the new one. A server cannot know the count; but a stream that has no
subject for publications refuses them, whoever publishes. So all streams refuse first, then the markers say
the new count, then every node hears that it has to look, and only after that do the streams take publications
again. Meanwhile publishing waits, for a second or so: nodes try again until their deadline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import trio

from node.broker.nats.epoch import Marker, decode_marker
from node.broker.nats.jetstream import WRONG_LAST_SEQUENCE, JetStream, JetStreamError
from node.broker.nats.streams import write_marker
from node.broker.nats.subjects import Partition, Subjects

# Between the news that the streams were changed and their taking publications again: every node that is
# connected has looked by then, and one that is not looks when it is.
SETTLING_S = 1.0
# Tries of a marker that nodes write at the same time.
_ROUNDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Spread:
    """The streams of a namespace, as they are.

    Attributes:
        numbers: of those that exist, ascending.
        partitions: over how many the namespace is spread; 0 if nothing is stored by any count.
        surplus: those of `numbers` that still pass for streams in use and are beyond that which is wanted.
    """

    numbers: Sequence[int]
    partitions: int
    surplus: Sequence[int]


async def found(
    jetstream: JetStream, subjects: Subjects, namespace: str, wanted: int, *, deadline_s: float
) -> Spread:
    """How a namespace is spread now, held against the count that is wanted."""
    names = await jetstream.names(subjects.markers(namespace), deadline_s=deadline_s)
    ends = (name.rpartition("-")[2] for name in names)
    numbers = sorted(
        int(end) for end in ends if end.isdigit() and subjects.stream(Partition(namespace, int(end))) in names
    )
    partitions, surplus = 0, []
    for number in numbers:
        marker, _ = await _marker(jetstream, subjects, Partition(namespace, number), deadline_s)
        if marker is None or marker.retired:
            continue
        if number == 0:
            # A marker that does not say was written when the count could not be told but by the streams.
            partitions = marker.partitions or len(numbers)
        if number >= wanted:
            surplus.append(number)
    return Spread(numbers, partitions, surplus)


async def respread(
    jetstream: JetStream,
    subjects: Subjects,
    namespace: str,
    numbers: Sequence[int],
    count: int,
    *,
    new_id: Callable[[], str],
    deadline_s: float,
    settling_s: float = SETTLING_S,
) -> None:
    """Begin a new epoch with another number of streams; afterwards the wanted ones are to be applied.

    Interrupted, it leaves streams that refuse publications: it, or what applies them, is to be run again.

    Args:
        jetstream: where.
        subjects: the scheme.
        namespace: which.
        numbers: of the streams that exist, ascending.
        count: over how many it is to be spread.
        new_id: makes the random ids of the new epochs.
        deadline_s: for each request, seconds.
        settling_s: how long to wait for nodes, seconds.

    Raises:
        BrokerError: the server did not answer, or refused.
    """
    partitions = [Partition(namespace, number) for number in numbers]
    await _refuse(jetstream, subjects, partitions, deadline_s)
    for partition in partitions:
        await _end_epoch(jetstream, subjects, partition, count, new_id, deadline_s)
    # Changed again, though not in any setting: nodes look at a stream when they hear that it was changed.
    await _refuse(jetstream, subjects, partitions, deadline_s)
    await trio.sleep(settling_s)


async def _refuse(
    jetstream: JetStream, subjects: Subjects, partitions: Sequence[Partition], deadline_s: float
) -> None:
    for partition in partitions:
        info = await jetstream.info(subjects.stream(partition), deadline_s=deadline_s)
        if info is not None:
            settings = {**info.settings, "subjects": [subjects.marker(partition)]}
            await jetstream.update(settings, deadline_s=deadline_s)


async def _end_epoch(
    jetstream: JetStream,
    subjects: Subjects,
    partition: Partition,
    count: int,
    new_id: Callable[[], str],
    deadline_s: float,
) -> None:
    for tries_left in reversed(range(_ROUNDS_MAX)):
        marker, head = await _marker(jetstream, subjects, partition, deadline_s)
        if marker is None:
            # No node has used it: none knows a position of it.
            return
        ended = msgspec.structs.replace(
            marker, id=new_id(), retired=partition.number >= count, partitions=count
        )
        try:
            await write_marker(jetstream, subjects.marker(partition), ended, head, deadline_s)
            return
        except JetStreamError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE or not tries_left:
                raise


async def _marker(
    jetstream: JetStream, subjects: Subjects, partition: Partition, deadline_s: float
) -> tuple[Marker | None, int]:
    """A stream's newest marker and its sequence."""
    stored = await jetstream.newest(
        subjects.stream(partition), subjects.marker(partition), deadline_s=deadline_s
    )
    return (decode_marker(stored.payload), stored.seq) if stored is not None else (None, 0)
