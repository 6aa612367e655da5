"""One channel without I/O: what goes to the hub, and what its memory says afterwards."""

import trio
from trio.testing import wait_all_tasks_blocked

from node.broker.interface import BrokerUnavailable, Head, Live, Message, Page
from node.config.options import ChannelOptions
from node.history.chain import Comparison, Step
from node.history.channel import Channel, Sizes
from node.protocol.messages import Publication
from tests.fakes.cluster import history_options


class RecordingHub:
    def __init__(self) -> None:
        self.published: list[int] = []
        self.sources: list[str] = []

    def publish(self, channel: str, publication: Publication, source: str = "live") -> None:
        self.published.append(publication.offset)
        self.sources.append(source)


class Fixture:
    """A channel at head 5, and what it asked for."""

    def __init__(self, options: ChannelOptions | None = None) -> None:
        self.hub = RecordingHub()
        self.repairs: list[Step] = []
        self.lost = 0
        self.channel = Channel(
            "a",
            "",
            options or history_options(10),
            self.hub,
            Sizes(tail=10, tail_bytes=1_000_000, recovery=300),
            lambda _channel, step: self.repairs.append(step),
        )

    def open(self) -> "Fixture":
        assert self.channel.compare(Head(5, 5, "e"), 0.0) is Comparison.CONFIRMED
        return self

    def lose(self, channel: Channel) -> None:
        assert self.hub.published == [], "told after publications that lie behind the hole"
        self.lost += 1


def live(offset: int, previous: int, *, tombstone: bool = False) -> Live:
    return Live(Message(b"x"), offset, previous, 1000, tombstone)


def test_plain_messages_pass() -> None:
    """A message without an offset goes straight to the hub, whatever the chain waits for."""
    channel = Fixture()
    channel.channel.deliver(Live(Message(b"x")))
    plain = Fixture(ChannelOptions())
    plain.channel.deliver(Live(Message(b"x")))

    assert channel.hub.published == plain.hub.published == [0]


def test_live_messages_reach_hub_and_tail() -> None:
    """In order, doubles dropped."""
    fixture = Fixture().open()
    for offset in (6, 6, 7):
        fixture.channel.deliver(live(offset, offset - 1))

    assert fixture.hub.published == [6, 7]
    assert [entry.offset for entry in fixture.channel.tail.since(5) or []] == [6, 7]
    assert fixture.repairs == []


def test_opening_sorts_out_what_waited() -> None:
    """A gap between the head and what came meanwhile is seen at once."""
    fixture = Fixture()
    fixture.channel.deliver(live(8, 7))

    assert fixture.channel.compare(Head(5, 5, "e"), 0.0) is Comparison.MISSED
    assert fixture.channel.chain.missing == 8


def test_tombstone_is_not_delivered() -> None:
    """The position advances, and nothing below it can be recovered."""
    fixture = Fixture().open()
    fixture.channel.deliver(live(6, 5, tombstone=True))
    fixture.channel.deliver(live(7, 6))

    assert fixture.hub.published == [7]
    assert fixture.channel.top.offset == 7
    assert fixture.channel.tail.since(5) is None
    assert fixture.channel.tail.since(6) is not None
    assert fixture.channel.floor == 6


def test_gap_is_asked_for_and_filled() -> None:
    """The missing ones go first, those that waited follow, nothing comes twice."""
    fixture = Fixture().open()
    fixture.channel.deliver(live(8, 7))
    fixture.channel.deliver(live(9, 8))
    page = Page((live(7, 5), live(8, 7)), True, Head(8, 8, "e"))

    assert fixture.channel.catch_up(page, 1.0, fixture.lose)

    assert fixture.repairs == [Step.GAP]
    assert fixture.hub.published == [7, 8, 9]
    assert fixture.hub.sources == ["repair", "repair", "live"], "what the store brought, and what came live"
    assert fixture.channel.chain.waiting is None
    assert fixture.lost == 0


def test_hole_is_told_before_anything_is_delivered() -> None:
    """Those who track are taken out first; the tail begins behind the hole."""
    fixture = Fixture().open()
    fixture.channel.deliver(live(9, 8))
    page = Page((live(7, 6), live(8, 7), live(9, 8)), False, Head(9, 9, "e"))

    assert not fixture.channel.catch_up(page, 1.0, fixture.lose)

    assert fixture.lost == 1
    assert fixture.hub.published == [7, 8, 9]
    assert fixture.hub.sources == ["repair"] * 3
    assert fixture.channel.tail.since(8) is None
    assert fixture.channel.tail.since(9) == []
    assert fixture.channel.floor == 6


def test_page_for_recoveries_extends_the_tail() -> None:
    """What was read serves later positions; what it could not prove is remembered as a floor."""
    fixture = Fixture().open()
    channel = fixture.channel
    channel.remember(Page((live(4, 3), live(5, 4)), False, Head(5, 5, "e")), 1)
    assert (channel.tail.since(4), channel.floor) == (None, 2)

    channel.remember(Page((live(4, 3), live(5, 4)), True, Head(5, 5, "e")), 3)

    assert [entry.offset for entry in channel.tail.since(3) or []] == [4, 5]
    assert channel.floor == 2
    assert fixture.hub.published == []


def test_restart_forgets_everything() -> None:
    """Until the next head live messages wait, and no old position is answered from memory."""
    fixture = Fixture().open()
    fixture.channel.verified = 0
    fixture.channel.restart()
    fixture.channel.deliver(live(6, 5))

    assert fixture.hub.published == []
    assert fixture.channel.chain.epoch == ""
    assert fixture.channel.verified == -1
    fixture.channel.compare(Head(2, 2, "f"), 1.0)
    assert fixture.channel.top.epoch == "f"


async def test_failure_reaches_everybody_who_waits(nursery: trio.Nursery) -> None:
    """Each gets an error of its own."""
    channel = Fixture().channel
    errors: list[BaseException] = []

    async def wait() -> None:
        try:
            await channel.change()
        except BrokerUnavailable as error:
            errors.append(error)

    for _ in range(2):
        nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    channel.fail(BrokerUnavailable("away"))
    await wait_all_tasks_blocked()

    assert [str(error) for error in errors] == ["away", "away"]
    assert errors[0] is not errors[1]
