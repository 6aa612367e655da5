"""How a node empties itself: whom it obeys, when it may begin, and how many clients go now.

Pure: the time is an argument, on a clock that never goes back. Who the clients are, and how they are told,
is `leaving`'s business. The rules for orders are those of protos/catalog.proto.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from math import isfinite

from node.config.options import DrainOptions
from node.token_bucket import TokenBucket
from protos.catalog_pb2 import Leaving, Moving, Order

# A node that ends leaves at least this share of its time for sending, however long clients keep coming.
_SENDING_SHARE = 0.5
# Nobody can be sent away in less time than one look at the clock.
_LEFT_MIN_S = 0.05


class Phase(Enum):
    """How far a node is out of rotation."""

    # Takes new sessions.
    SERVING = auto()
    # Takes none; waits until nobody comes any more.
    WAITING = auto()
    # Sends its clients away.
    SENDING = auto()
    # Nobody is left.
    EMPTY = auto()


class Event(Enum):
    """What moves a node from one phase to another."""

    # Told to leave, by an order or a signal.
    LEAVE = auto()
    # Nobody has come for a while, or there is no more time to wait.
    QUIET = auto()
    # The last session ended.
    GONE = auto()
    # A session that was half open when the node left is there after all.
    CAME = auto()
    # Told to take sessions again, or left alone with an order that is over.
    SERVE = auto()


# An event that is not in the table changes nothing.
NEXT: dict[tuple[Phase, Event], Phase] = {
    (Phase.SERVING, Event.LEAVE): Phase.WAITING,
    (Phase.WAITING, Event.QUIET): Phase.SENDING,
    (Phase.SENDING, Event.GONE): Phase.EMPTY,
    (Phase.EMPTY, Event.CAME): Phase.SENDING,
    (Phase.WAITING, Event.SERVE): Phase.SERVING,
    (Phase.SENDING, Event.SERVE): Phase.SERVING,
    (Phase.EMPTY, Event.SERVE): Phase.SERVING,
}

# As the catalog calls them.
_REPORTED = {Phase.WAITING: Leaving.WAITING, Phase.SENDING: Leaving.SENDING, Phase.EMPTY: Leaving.EMPTY}


@dataclass(frozen=True, slots=True)
class Batch:
    """Sessions to send away now.

    Attributes:
        count: how many at most.
        largest_first: those with the most subscriptions; otherwise any.
        age_min_s: not those that have been here for less, seconds.
        moves: the node itself stays.
    """

    count: int
    largest_first: bool = False
    age_min_s: float = 0.0
    moves: bool = False


class Drain:
    """One node's way out of rotation, and back.

    Args:
        options: `drain`.
        instance: of this process; orders to another one are refused.
        now: on the clock of all later calls, seconds.

    Attributes:
        phase: see Phase.
        fence: the highest of an order that was obeyed.
        refused: how many orders were refused, by cause: "instance", "fence", "number", "malformed",
            "stopping" (the process ends, and nothing changes that), "leaving" (a move).
        sent_away: sessions sent away since the process began.
    """

    def __init__(self, options: DrainOptions, instance: str, now: float) -> None:
        self._options = options
        self._instance = instance
        self.phase = Phase.SERVING
        self.fence = 0
        self.refused: Counter[str] = Counter()
        self.sent_away = 0
        self._number = 0
        # The order in force: the last one that was obeyed, and when.
        self._order = Order()
        self._ordered_at = float("-inf")
        self._on_its_own = False
        self._left_at = self._arrived_at = self._deadline = now
        self._bucket = TokenBucket(0, now)
        # Sent away under the plan in force.
        self._sent = 0

    # --- what it is told ------------------------------------------------------------------------

    def obey(self, order: Order, now: float) -> str:
        """Judge an order and do what it says; returns why it was refused, "" if it was not."""
        cause = self._judge(order)
        if cause in ("", "stopping", "leaving"):
            # It is the leader who speaks, even if nothing comes of it.
            self.fence, self._number = order.fence, order.number
        if cause:
            self.refused[cause] += 1
            return cause
        if order.action == Order.DRAIN:
            self._leave(order.ends_in_s, now, same_plan=order.plan_id == self._order.plan_id)
        elif order.action == Order.SERVE:
            self._advance(Event.SERVE)
        elif (order.action, order.plan_id) != (self._order.action, self._order.plan_id):
            self._restart(now)
        self._order, self._ordered_at = order, now
        self._bucket.change(order.rate, now)
        return ""

    def stop(self, ends_in_s: float, now: float) -> None:
        """The process was told to end: leave now, whatever was or will be ordered.

        Args:
            ends_in_s: seconds until whoever is left is sent away at once.
            now: see Drain.
        """
        if self._order.action != Order.DRAIN or self._order.cut_off:
            self._order, self._ordered_at = Order(), float("-inf")
        self._leave(ends_in_s, now, same_plan=True)
        self._on_its_own = True

    def arrived(self, now: float) -> None:
        """A client wanted a session: it does not know yet that this node leaves."""
        self._arrived_at = now

    def sent(self, count: int, now: float) -> None:
        """So many of a batch were sent away."""
        self._sent += count
        self.sent_away += count
        self._bucket.take(min(count, self._bucket.available(now)), now)

    def connected(self, now: float) -> None:
        """The broker is back for good: what was ordered for its absence is over, if nobody leads any more."""
        if self.cut_off and not self._is_led(now):
            self._advance(Event.SERVE)

    # --- what it says ---------------------------------------------------------------------------

    @property
    def leaves(self) -> bool:
        """Whether new sessions are refused."""
        return self.phase is not Phase.SERVING

    @property
    def cut_off(self) -> bool:
        """Whether it leaves only for as long as its broker is away."""
        return self.leaves and self._order.cut_off and not self._on_its_own

    def busy(self, now: float) -> bool:
        """Whether `due` has to be asked again and again; a move without a leader waits for the next order."""
        moves = self._order.action == Order.MOVE and self._sent < self._order.count
        return self.leaves or (moves and self._is_led(now))

    @property
    def ends(self) -> bool:
        """Whether the process ends when it is empty."""
        return self.leaves and (self._on_its_own or self._order.stop)

    @property
    def reason(self) -> str:
        """Why new sessions are refused, "" if they are not."""
        if not self.leaves:
            return ""
        if self.cut_off:
            return "cut off from NATS: clients are sent to other nodes"
        return "the node is stopping" if self.ends else "the node is draining"

    def due(self, sessions: int, now: float) -> Batch:
        """How many sessions go now.

        Args:
            sessions: on the node, those included that were told to go and have not gone.
            now: see Drain.
        """
        order = self._order
        largest_first = order.pick == Order.LARGEST_FIRST
        if not self.leaves:
            return self._due_to_move(largest_first, now)
        late = now >= self._deadline
        if self.phase is Phase.WAITING and (late or self._is_quiet(now)):
            self._bucket = TokenBucket(0, now)
            self._advance(Event.QUIET)
        self._advance(Event.CAME if sessions else Event.GONE)
        if self.phase is not Phase.SENDING:
            return Batch(0)
        count = self._allowed(self._pace(sessions, now), now)
        return Batch(sessions if late else min(sessions, count), largest_first)

    def leaving(self, now: float) -> Leaving | None:
        """How far it has come, for the catalog; None while it does not leave."""
        if not self.leaves:
            return None
        return Leaving(
            phase=_REPORTED[self.phase],
            plan_id=self._order.plan_id if self._is_led(now) else "",
            on_its_own=self._on_its_own,
            stop=self.ends,
            sent_away=self._sent,
            rate=self._bucket.rate if self.phase is Phase.SENDING else 0.0,
            ends_in_s=max(0.0, self._deadline - now),
            cut_off=self.cut_off,
        )

    def moving(self) -> Moving | None:
        """How far a move has come, for the catalog; None without one."""
        if self.leaves or self._order.action != Order.MOVE:
            return None
        return Moving(plan_id=self._order.plan_id, sent_away=self._sent, count=self._order.count)

    # --- inside ---------------------------------------------------------------------------------

    def _judge(self, order: Order) -> str:
        amounts = (order.rate, order.ends_in_s, order.age_min_s)
        if order.action not in (Order.SERVE, Order.DRAIN, Order.MOVE) or not all(
            isfinite(amount) and amount >= 0 for amount in amounts
        ):
            return "malformed"
        if order.instance != self._instance:
            return "instance"
        if order.fence < self.fence:
            return "fence"
        if order.fence == self.fence and order.number <= self._number:
            return "number"
        if self._on_its_own and order.action != Order.DRAIN:
            return "stopping"
        if self.leaves and order.action == Order.MOVE:
            return "leaving"
        return ""

    def _leave(self, ends_in_s: float, now: float, *, same_plan: bool) -> None:
        deadline = now + ends_in_s
        if not self.leaves:
            self._restart(now)
            self._left_at = self._arrived_at = now
        elif same_plan or self._on_its_own:
            # The first order of a plan sets the deadline, later ones may only shorten it.
            deadline = min(self._deadline, deadline)
        else:
            self._restart(now)
        self._deadline = deadline
        self._advance(Event.LEAVE)

    def _restart(self, now: float) -> None:
        """What was saved up before is not sent at once."""
        self._bucket = TokenBucket(0, now)
        self._sent = 0

    def _due_to_move(self, largest_first: bool, now: float) -> Batch:
        order = self._order
        if order.action != Order.MOVE:
            return Batch(0)
        # Nobody is moved unless somebody who leads wants it now.
        count = self._allowed(order.rate if self._is_led(now) else 0.0, now)
        return Batch(max(0, min(count, order.count - self._sent)), largest_first, order.age_min_s, moves=True)

    def _allowed(self, rate: float, now: float) -> int:
        """How many may go now; from now on so many per second, 0 holds at once."""
        self._bucket.change(rate, now)
        return self._bucket.available(now) if rate > 0 else 0

    def _is_led(self, now: float) -> bool:
        return now - self._ordered_at <= self._options.order_patience_s

    def _is_quiet(self, now: float) -> bool:
        options = self._options
        wait_max_s = min(options.arrivals_wait_max_s, (self._deadline - self._left_at) * (1 - _SENDING_SHARE))
        return now - self._arrived_at >= options.arrivals_quiet_s or now - self._left_at >= wait_max_s

    def _pace(self, sessions: int, now: float) -> float:
        order = self._order
        if self._is_led(now):
            return order.rate
        if self.cut_off:
            # Whether the others can be reached by their broker, only a leader knows.
            return 0.0
        # What a leader said last was what the others can take, and still is: a faster pace would be a storm
        # on them at every change of leaders. Only the deadline hurries it.
        least = order.rate if order.action == Order.DRAIN else self._options.rate
        return max(least, sessions / max(self._deadline - now, _LEFT_MIN_S))

    def _advance(self, event: Event) -> None:
        self.phase = NEXT.get((self.phase, event), self.phase)
