"""A whole history, arranged for judging: publications by id, deliveries by client and channel.

Ten minutes hold millions of deliveries, so these are kept as columns of numbers. Everything here is what
was recorded, in another order; what it means is the checkers' business.
"""

import bisect
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from chaos.history import (
    Client,
    Delivered,
    FaultChanged,
    Final,
    Note,
    Outcome,
    Phase,
    Published,
    Rebalance,
    Record,
    Run,
    Sample,
    Session,
    Subscribed,
    Unsubscribed,
)
from chaos.history_file import CutShortError, read


class Publication(msgspec.Struct, gc=False):
    """What became of one id.

    Attributes:
        number: its place in `Recorded.publications`.
        id: as the generator gave it.
        invoked: when it was sent, None if nobody sent it: some client made it up, or got it damaged.
        ended: when its outcome was known.
        outcome: the last word; invoke if there was none, which is judged like unknown.
        publisher: who sent it.
        channel: where to.
        node: who was asked.
        epoch: of an accepted one on a history channel.
        offset: of an accepted one on a history channel.
    """

    number: int
    id: str
    invoked: float | None = None
    ended: float = 0.0
    outcome: Outcome = "invoke"
    publisher: str = ""
    channel: str = ""
    node: str = ""
    epoch: str = ""
    offset: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the publisher was told so."""
        return self.outcome == "ok"


Marked = Subscribed | Unsubscribed | Session


class Stream:
    """What one client saw of one channel, in its order.

    Attributes:
        client: who.
        channel: of what.
        times: when each delivery came, seconds.
        numbers: which publication each was.
        offsets: the offset each came with.
        marks: what happened between: (how many deliveries came before it, the record).
        final: the last word, if there was one.
    """

    __slots__ = ("channel", "client", "final", "marks", "numbers", "offsets", "times")

    def __init__(self, client: str, channel: str) -> None:
        self.client = client
        self.channel = channel
        self.times = array("d")
        self.numbers = array("q")
        self.offsets = array("q")
        self.marks: list[tuple[int, Marked]] = []
        self.final: Final | None = None


class Disturbance(NamedTuple):
    """A time in which at least one fault was in force.

    Attributes:
        began: when the first came, seconds.
        ended: when the last was healed; infinity if it never was.
        names: which.
    """

    began: float
    ended: float
    names: tuple[str, ...]


class Recorded:
    """The history of one run.

    Attributes:
        run: what was run.
        phases: of the run, by time.
        clients: by name; those without a `Client` record are taken for healthy.
        publications: by number.
        streams: by client and channel.
        sessions: the session records of each client, in its order.
        faults: by time.
        rebalances: by time.
        samples: of each process, by time.
        notes: by time.
        cut_short: which files are not complete.
        zero: when the run began; times in reports count from here.
        end: the time of the last record.
    """

    def __init__(self) -> None:
        self.run = Run(0.0, "", 0)
        self.phases: list[Phase] = []
        self.clients: dict[str, Client] = {}
        self.publications: list[Publication] = []
        self.streams: dict[tuple[str, str], Stream] = {}
        self.sessions: dict[str, list[Session]] = {}
        self.faults: list[FaultChanged] = []
        self.rebalances: list[Rebalance] = []
        self.samples: dict[str, list[Sample]] = {}
        self.notes: list[Note] = []
        self.cut_short: list[str] = []
        self.zero = 0.0
        self.end = 0.0
        self._numbers: dict[str, int] = {}
        self._of_client: dict[str, list[Stream]] = {}

    @classmethod
    def load(cls, paths: Iterable[Path]) -> "Recorded":
        """Reads the files of a run.

        Raises:
            msgspec.DecodeError: a line is no record.
        """
        recorded = cls()
        for path in paths:
            try:
                recorded.add(read(path))
            except CutShortError as error:
                recorded.cut_short.append(str(error))
        return recorded.complete()

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Recorded":
        """Arranges records that are at hand; each client's in its order."""
        recorded = cls()
        recorded.add(records)
        return recorded.complete()

    def add(self, records: Iterable[Record]) -> None:
        """Takes the records of one file."""
        streams, numbers = self.streams, self._numbers
        for record in records:
            if isinstance(record, Delivered):  # nearly all are
                stream = streams.get((record.client, record.channel))
                if stream is None:
                    stream = self._stream(record.client, record.channel)
                number = numbers.get(record.id)
                if number is None:
                    number = self._publication(record.id).number
                stream.times.append(record.t)
                stream.numbers.append(number)
                stream.offsets.append(record.offset)
            else:
                self._add_other(record)

    def complete(self) -> "Recorded":
        """Puts in order what came from several files."""
        for listed in (self.phases, self.faults, self.rebalances, self.notes, *self.samples.values()):
            listed.sort(key=lambda record: record.t)  # type: ignore[attr-defined]
        times = [stream.times[-1] for stream in self.streams.values() if stream.times]
        times += [publication.ended for publication in self.publications]
        times += [sessions[-1].t for sessions in self.sessions.values()]
        times += [listed[-1].t for listed in (self.phases, self.faults) if listed]
        times += [samples[-1].t for samples in self.samples.values()]
        self.end = max(times, default=self.zero)
        if not self.zero:
            began = (publication.invoked for publication in self.publications if publication.invoked)
            self.zero = min(began, default=self.end)
        return self

    def _add_other(self, record: Record) -> None:
        match record:
            case Published():
                self._add_published(record)
            case Session():
                self.sessions.setdefault(record.client, []).append(record)
                for stream in self._of_client.get(record.client, ()):
                    stream.marks.append((len(stream.times), record))
            case Subscribed() | Unsubscribed():
                stream = self._stream(record.client, record.channel)
                stream.marks.append((len(stream.times), record))
            case Final():
                self._stream(record.client, record.channel).final = record
            case Client():
                self.clients[record.client] = record
            case FaultChanged():
                self.faults.append(record)
            case Rebalance():
                self.rebalances.append(record)
            case Sample():
                self.samples.setdefault(record.what, []).append(record)
            case Phase():
                self.phases.append(record)
            case Note():
                self.notes.append(record)
            case Run():
                self.run, self.zero = record, record.t

    def _add_published(self, record: Published) -> None:
        publication = self._publication(record.id)
        if record.phase == "invoke":
            publication.invoked = record.t
            publication.publisher, publication.channel = record.publisher, record.channel
            publication.node = record.node
        else:
            publication.outcome = record.phase
            publication.epoch, publication.offset = record.epoch, record.offset
        publication.ended = record.t

    def _publication(self, name: str) -> Publication:
        number = self._numbers.setdefault(name, len(self.publications))
        if number == len(self.publications):
            self.publications.append(Publication(number, name))
        return self.publications[number]

    def _stream(self, client: str, channel: str) -> Stream:
        stream = self.streams.get((client, channel))
        if stream is None:
            stream = self.streams[client, channel] = Stream(client, channel)
            self._of_client.setdefault(client, []).append(stream)
        return stream

    def client(self, name: str) -> Client:
        """A client's role."""
        return self.clients.get(name) or Client(0.0, name)

    def judged(self) -> list[Stream]:
        """The streams of all but hostile clients."""
        return [each for each in self.streams.values() if self.client(each.client).role != "hostile"]

    def healthy(self) -> list[Stream]:
        """The streams of the clients that read in time."""
        return [each for each in self.streams.values() if self.client(each.client).role == "healthy"]

    def keeps_history(self, channel: str) -> bool:
        """Whether it is configured to."""
        return channel.partition(":")[0] in self.run.history_namespaces

    def node_of(self, client: str, t: float) -> str:
        """Where a client was, or last had been."""
        sessions = [each for each in self.sessions.get(client, ()) if each.phase == "connected"]
        at = bisect.bisect_right(sessions, t, key=lambda session: session.t)
        return sessions[at - 1].node if at else ""

    def disturbances(self, *, settle_s: float = 0.0) -> list[Disturbance]:
        """When faults were in force that others may notice, merged, by time.

        Args:
            settle_s: seconds after each healing that still belong to it.
        """
        spans = [
            Disturbance(began, ended + settle_s, (fault.name,))
            for fault, began, ended in self.spans()
            if not fault.slow
        ]
        found: list[Disturbance] = []
        for span in spans:
            if found and span.began <= found[-1].ended:
                last = found[-1]
                found[-1] = Disturbance(last.began, max(last.ended, span.ended), last.names + span.names)
            else:
                found.append(span)
        return found

    def spans(self) -> list[tuple[FaultChanged, float, float]]:
        """Every fault that was injected, when, and when it was healed (infinity: never), by time."""
        found: list[tuple[FaultChanged, float, float]] = []
        open_: dict[str, int] = {}
        for fault in self.faults:
            if fault.phase == "inject":
                open_[fault.name] = len(found)
                found.append((fault, fault.t, float("inf")))
            elif fault.phase == "heal" and fault.name in open_:
                at = open_.pop(fault.name)
                found[at] = (found[at][0], found[at][1], fault.t)
        return found


def within(t: float, disturbances: Sequence[Disturbance]) -> bool:
    """Whether a time lies in one of them, which are by time and apart."""
    at = bisect.bisect_right(disturbances, t, key=lambda each: each.began)
    return at > 0 and t <= disturbances[at - 1].ended
