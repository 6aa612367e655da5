"""Clients without sessions: what the hub writes is kept, and held against what the store accepted."""

from collections.abc import Sequence

import trio

from node.hub import Subscription
from node.protocol.messages import Publication, StreamPosition
from tests.fakes.store import Store


class PlainFraming:
    """Publications as `offset:payload;`."""

    def publication(self, channel: str, publication: Publication) -> bytes:
        return b"%d:%s;" % (publication.offset, bytes(publication.data))

    def join(self, frames: Sequence[bytes]) -> bytes:
        return b"".join(frames)


FRAMING = PlainFraming()


class Violation(AssertionError):
    """A promise was broken."""


class RecordingOutbox:
    """An outbox that hands everything to its client at once."""

    def __init__(self, client: "RecordingClient") -> None:
        self._client = client

    def write(self, data: bytes) -> None:
        self._client.written(data)


class RecordingClient:
    """A client in one channel, which checks whatever it is given against the store's truth.

    Attributes:
        position: what an SDK would keep: the last offset it saw, or the one it was granted.
        told: set when it is told that something may be missing.
        received: payloads, in order.
    """

    def __init__(self, channel: str, store: Store, *, tracked: bool = True) -> None:
        self.channel = channel
        self.tracked = tracked
        self.position: StreamPosition | None = None
        self.told = trio.Event()
        self.received: list[bytes] = []
        self.subscription: Subscription | None = None
        self._store = store
        # Payloads since the last subscription that was no recovery: it may rightly begin earlier.
        self._granted: set[bytes] = set()

    @property
    def lost(self) -> bool:
        """Whether it was told that something may be missing."""
        return self.told.is_set()

    def subscribe(self) -> Subscription:
        """A fresh subscription to join with."""
        self.told = trio.Event()
        self.subscription = Subscription(
            self.channel, self, FRAMING, RecordingOutbox(self), tracked=self.tracked
        )
        return self.subscription

    def joined(self, joined) -> None:
        """Take a subscribe result."""
        if joined.position is None:
            return
        if joined.recovered:
            asked = self.position
            if asked is None or joined.position.offset != asked.offset:
                raise Violation(f"recovered at {joined.position}, asked for {asked}")
            if asked.epoch and joined.position.epoch != asked.epoch:
                raise Violation("recovered across epochs")
        elif joined.publications:
            raise Violation("publications without a recovery")
        else:
            self._granted.clear()
        self.position = joined.position
        for publication in joined.publications:
            self.take(publication.offset, bytes(publication.data))

    def written(self, data: bytes) -> None:
        for entry in data.split(b";")[:-1]:
            offset, _, payload = entry.partition(b":")
            self.take(int(offset), payload)

    def take(self, offset: int, payload: bytes) -> None:
        """One publication: it must be the next one that was accepted after the position."""
        self.received.append(payload)
        if not offset:
            return
        if payload in self._granted:
            raise Violation(f"{offset} twice")
        self._granted.add(payload)
        if not self.tracked:
            return
        if self.lost:
            raise Violation("a publication after the subscription was lost")
        assert self.position is not None
        accepted = self._store.accepted.get((self.position.epoch, self.channel), {})
        if accepted.get(offset) != payload:
            raise Violation(f"{offset} was never accepted in {self.position.epoch}")
        if offset <= self.position.offset:
            raise Violation(f"{offset} again or late, after {self.position.offset}")
        missing = [other for other in accepted if self.position.offset < other < offset]
        if missing:
            raise Violation(f"{missing} lost between {self.position.offset} and {offset}")
        self.position = StreamPosition(offset, self.position.epoch)

    def behind(self) -> list[int]:
        """Offsets it should have and has not."""
        if self.position is None:
            return []
        accepted = self._store.accepted.get((self._store.epoch, self.channel), {})
        if self.position.epoch != self._store.epoch:
            return list(accepted)
        return [offset for offset in accepted if offset > self.position.offset]

    # --- what the hub and the channels tell -----------------------------------------------------

    def subscription_lost(self, subscription: Subscription) -> None:
        if subscription is self.subscription:
            self.told.set()

    def payload_unencodable(self, channel: str) -> None:
        raise NotImplementedError
