"""The chain, against a table and against a store that drops, doubles, trims, purges and expires."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.broker.interface import Head, Live, Message
from node.history.chain import Chain, Comparison, Step, step_of
from tests.fakes.store import Store


def live(offset: int, previous: int, data: bytes = b"x") -> Live:
    return Live(Message(data), offset, previous, 1000 * offset)


def opened(head: int, up_to: int) -> Chain:
    chain = Chain()
    chain.open(Head(head, up_to, "e"))
    assert chain.resume() == []
    return chain


@pytest.mark.parametrize(
    ("head", "seen", "offset", "previous", "step"),
    [
        (5, 5, 5, 4, Step.DUPLICATE),
        (5, 9, 8, 5, Step.DUPLICATE),
        (5, 5, 6, 5, Step.NEXT),
        (5, 9, 12, 5, Step.NEXT),
        (5, 5, 8, 7, Step.GAP),
        (0, 9, 12, 11, Step.GAP),
        (5, 5, 8, 0, Step.UNKNOWN),
        (0, 9, 12, 0, Step.UNKNOWN),
        (5, 5, 8, 3, Step.UNKNOWN),
    ],
)
def test_step_of(head: int, seen: int, offset: int, previous: int, step: Step) -> None:
    """A message is delivered only where its predecessor is the chain's head; 0 proves nothing, even empty."""
    assert step_of(head, seen, offset, previous) is step


@pytest.mark.parametrize(
    ("head", "comparison"),
    [
        (Head(5, 9, "other"), Comparison.OTHER_EPOCH),
        (Head(12, 12, "e"), Comparison.MISSED),
        (Head(5, 5, "e"), Comparison.BEHIND),
        (Head(3, 7, "e"), Comparison.BEHIND),
        (Head(5, 20, "e"), Comparison.CONFIRMED),
        (Head(0, 20, "e"), Comparison.VANISHED),
    ],
)
def test_compare(head: Head, comparison: Comparison) -> None:
    """A head above says that something was missed, a lagging one says nothing, an equal one proves more."""
    chain = opened(5, 9)

    assert chain.compare(head) is comparison
    assert chain.seen == (20 if comparison is Comparison.CONFIRMED else 9)
    assert chain.missing == (12 if comparison is Comparison.MISSED else 0)


def test_empty_channel_stays_confirmed_only_as_far_as_it_was_read() -> None:
    """Two empty answers do not prove that nothing came and went between them."""
    chain = opened(0, 9)

    assert chain.compare(Head(0, 9, "e")) is Comparison.CONFIRMED
    assert chain.compare(Head(0, 12, "e")) is Comparison.VANISHED
    assert chain.seen == 9
    assert chain.top == 9


def test_messages_wait_for_the_first_head() -> None:
    """What comes before the head is known is sorted out against it, not lost and not doubled."""
    chain = Chain()
    messages = [live(4, 2), live(6, 4), live(9, 6)]
    assert [chain.live(message) for message in messages] == [Step.WAIT] * 3

    chain.open(Head(4, 5, "e"))

    assert chain.resume() == messages[1:]
    assert chain.waiting is None
    assert (chain.head, chain.seen) == (9, 9)


def test_gap_holds_what_follows_until_it_is_filled() -> None:
    """Later messages wait behind a gap, and another gap among them is found as well."""
    chain = opened(2, 2)
    assert chain.live(live(5, 4)) is Step.GAP
    assert chain.live(live(6, 5)) is Step.WAIT
    assert chain.live(live(9, 8)) is Step.WAIT
    assert chain.missing == 5

    chain.move(5, 5)

    assert chain.resume() == [live(6, 5)]
    assert chain.waiting == [live(9, 8)]
    assert chain.missing == 9


def test_known_message_that_was_not_reached_keeps_the_chain_waiting() -> None:
    """A read that stops short of a message known to be stored does not end the gap."""
    chain = opened(2, 2)
    chain.compare(Head(9, 9, "e"))
    chain.hold()
    chain.move(5, 6)

    assert chain.resume() == []
    assert chain.waiting == []


def test_position_never_goes_back() -> None:
    """An old answer changes nothing."""
    chain = opened(5, 9)
    chain.move(3, 7)

    assert (chain.head, chain.seen) == (5, 9)


@pytest.mark.parametrize(("count_max", "bytes_max"), [(10, 1_000_000), (1000, 300)])
def test_waiting_is_bounded_and_shows_what_it_dropped(count_max: int, bytes_max: int) -> None:
    """Too many or too big waiting messages are dropped, and the newest tells that they are missing."""
    chain = Chain(count_max, bytes_max)
    chain.open(Head(1, 1, "e"))
    chain.hold()
    for offset in range(2, 100):
        chain.live(live(offset, offset - 1, b"x" * 30))
        assert chain.waiting is not None
        assert len(chain.waiting) <= 10

    chain.move(1, 1)
    chain.resume()

    assert chain.waiting is not None
    assert chain.missing > 1


_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["publish", "publish", "lost", "doubled", "other", "read", "read_lagging", "compare", "purge"]
        ),
        st.sampled_from([0.0, 0.0, 0.0, 1.0, 6.0]),
    ),
    max_size=40,
)


class _Life:
    """One channel's chain over a store, with what was delivered held against what was accepted."""

    def __init__(self, size: int) -> None:
        self.store = Store(size, meta_ttl_s=5.0)
        self.chain = Chain(waiting_max=4)
        self.now_s = 0.0
        self.chain.open(self.store.replica(0, leader=True).head("a", self.store.epoch))
        self.chain.resume()
        self.delivered_to = self.chain.seen
        self.told = 0

    def act(self, action: str) -> None:
        match action:
            case "publish" | "lost" | "doubled":
                message = self.store.add("a", Message(b""), self.now_s)
                for _ in range({"publish": 1, "lost": 0, "doubled": 2}[action]):
                    self.receive(message)
            case "other":
                self.store.add("b", Message(b""), self.now_s)
            case "purge":
                self.receive(self.store.add("a", Message(b""), self.now_s, tombstone=True))
            case "compare":
                head = self.store.replica(self.now_s, leader=True).head("a", self.store.epoch)
                if self.chain.compare(head) is Comparison.MISSED:
                    self.chain.hold()
            case "read" | "read_lagging":
                self.store.lag_s = 2.0
                self.read(leader=action == "read")

    def receive(self, message: Live) -> None:
        if self.chain.live(message) is Step.NEXT:
            self.deliver(message)

    def read(self, *, leader: bool) -> None:
        if self.chain.waiting is None:
            return
        replica = self.store.replica(self.now_s, leader=leader)
        if replica.up_to < max(self.chain.missing, self.chain.seen):
            return
        page = replica.page("a", self.chain.seen, self.store.size + 2, self.store.epoch)
        if page.complete:
            for message in page.messages:
                self.deliver(message)
        else:
            self.told += 1
            self.delivered_to = page.head.up_to
        self.chain.move(page.head.offset, page.head.up_to)
        for message in self.chain.resume():
            self.deliver(message)

    def deliver(self, message: Live) -> None:
        assert message.offset > self.delivered_to, "doubled or out of order"
        accepted = self.store.accepted.get((self.store.epoch, "a"), {})
        between = [offset for offset in accepted if self.delivered_to < offset < message.offset]
        assert between == [], "lost and not told"
        self.delivered_to = message.offset


@given(_ACTIONS, st.sampled_from([1, 2, 20]))
@settings(deadline=None, max_examples=500)
def test_in_order_once_and_nothing_missing_unless_told(actions: list[tuple[str, float]], size: int) -> None:
    """Whatever the live path and the store do, deliveries have no hole that nobody was told of."""
    life = _Life(size)
    for action, pause_s in actions:
        life.now_s += pause_s
        life.act(action)
    life.act("compare")
    for _ in range(20):
        life.read(leader=True)

    assert life.chain.waiting is None
    newest = max(life.store.accepted.get((life.store.epoch, "a"), {}), default=0)
    head = life.store.replica(life.now_s, leader=True).head("a", "")
    # What expired before anybody looked stays unknown until the next message asks for a read.
    assert life.chain.seen >= newest or head.offset == 0
