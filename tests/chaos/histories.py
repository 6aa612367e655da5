"""Histories written by hand: a few words a line, times that go on by themselves, offsets that count."""

from chaos.checkers.verdict import Bounds, Verdict
from chaos.history import (
    Client,
    Delivered,
    FaultChanged,
    Final,
    Outcome,
    Phase,
    Position,
    Published,
    Record,
    Role,
    Run,
    Session,
    Subscribed,
    Unsubscribed,
)
from chaos.recorded import Recorded

ROOM, PLAIN = "history:1", "plain:1"
ZERO = 1000.0


class Story:
    """A history in the making. Every line moves the clock on by a hundredth of a second."""

    def __init__(self) -> None:
        self.records: list[Record] = [Run(ZERO, "a story", 1)]
        self.t = ZERO
        self.head = 10
        self.epoch = "e1"
        self.offsets: dict[str, int] = {}

    def tell(self, record: Record) -> None:
        self.records.append(record)

    def wait(self, seconds: float) -> "Story":
        self.t += seconds
        return self

    def _now(self) -> float:
        self.t += 0.01
        return self.t

    def client(self, name: str, role: Role = "healthy") -> "Story":
        self.tell(Client(self._now(), name, role))
        return self

    def connected(self, client: str, node: str = "node-1") -> "Story":
        self.tell(Session(self._now(), client, "websocket", node, "connecting"))
        self.tell(Session(self._now(), client, "websocket", node, "connected"))
        return self

    def closed(
        self,
        client: str,
        code: int = 0,
        *,
        node: str = "node-1",
        transport: str = "websocket",
        reason: str = "",
    ) -> "Story":
        self.tell(Session(self._now(), client, transport, node, "closed", code, reason))
        return self

    def data_lost(self) -> "Story":
        """The store is empty: offsets begin again, in another epoch."""
        self.head, self.epoch = 0, "e2"
        return self

    def subscribed(self, client: str, channel: str = ROOM, *, epoch: str = "") -> "Story":
        """A new subscription, from the head on."""
        self.tell(
            Subscribed(self._now(), client, channel, epoch or self.epoch, self.head)
            if channel == ROOM
            else Subscribed(self._now(), client, channel)
        )
        return self

    def recovered(
        self, client: str, after: str | int, *, said: bool | None = True, epoch: str = "e1"
    ) -> "Story":
        """An answer to a client that asked to recover from after a publication."""
        asked = after if isinstance(after, int) else self.offsets[after]
        offset = asked if said else self.head
        self.tell(Subscribed(self._now(), client, ROOM, epoch, offset, Position("e1", asked), recovered=said))
        return self

    def unsubscribed(self, client: str, code: int, channel: str = ROOM) -> "Story":
        self.tell(Unsubscribed(self._now(), client, channel, code))
        return self

    def published(
        self, *ids: str, channel: str = ROOM, outcome: Outcome = "ok", publisher: str = "p"
    ) -> "Story":
        """Publications one after another; what is stored gets the next offset, unknown ones too."""
        for name in ids:
            self.tell(Published(self._now(), "invoke", name, publisher, channel, "node-1"))
            offset, epoch = 0, ""
            if channel == ROOM and outcome != "fail":
                self.head += 1
                self.offsets[name] = self.head
                offset, epoch = (self.head, self.epoch) if outcome == "ok" else (0, "")
            if outcome != "invoke":
                self.tell(Published(self._now(), outcome, name, publisher, channel, "node-1", offset, epoch))
        return self

    def delivered(self, client: str, *ids: str, channel: str = ROOM) -> "Story":
        for name in ids:
            self.tell(Delivered(self._now(), client, channel, name, self.offsets.get(name, 0)))
        return self

    def fault(self, name: str, *, slow: bool = False, node: str = "", deadline_s: float = 0.0) -> "Story":
        self.tell(FaultChanged(self._now(), name, "inject", "", node, deadline_s, slow))
        return self

    def healing(self, name: str) -> "Story":
        self.tell(FaultChanged(self._now(), name, "healing"))
        return self

    def healed(self, name: str) -> "Story":
        self.tell(FaultChanged(self._now(), name, "heal"))
        return self

    def phase(self, name: str) -> "Story":
        self.tell(Phase(self._now(), name))  # type: ignore[arg-type]
        return self

    def final(self, client: str, head: str = "", *, channel: str = ROOM, caught_up: bool = True) -> "Story":
        self.tell(Final(self._now(), client, channel, head, caught_up))
        return self

    def recorded(self) -> Recorded:
        return Recorded.of(self.records)


def good() -> Story:
    """Two clients, three publications, everybody has everything so far."""
    story = Story().client("c1").client("c2").connected("c1").connected("c2", "node-2")
    story.subscribed("c1").subscribed("c2").published("a", "b", "c")
    return story.delivered("c1", "a", "b", "c").delivered("c2", "a", "b", "c")


def ended(story: Story, head: str = "c") -> Recorded:
    """The story with a last word on both clients."""
    return story.final("c1", head).final("c2", head).recorded()


BOUNDS = Bounds()


def places(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Whom the evidence names: (client, publication, what)."""
    return [(case.client, case.id, case.what) for case in verdict.evidence]
