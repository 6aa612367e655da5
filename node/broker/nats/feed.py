"""The feed: a node's stream of messages from NATS, over one connection at a time that is made again for ever.

It keeps subscriptions across connections, hands messages out by sid, publishes, and waits for answers. It
knows nothing of channels or streams, and it never waits for those it delivers to.

A message's way in: `Connection` reads up to 64 KiB, `Parser` cuts it, `_received` calls `deliver`, all in one
turn of the loop and without a task. Out: `publish` appends to the connection's outbox, sent once per turn.
"""

import functools
import random
from collections.abc import Callable

import structlog
import trio

from node.broker.interface import BrokerUnavailable, MessageTooLarge, Unanswered
from node.broker.nats import commands
from node.broker.nats.connection import Connection, Probe
from node.broker.nats.dialer import Dialer, worth_a_line
from node.broker.nats.inbox import Inbox
from node.broker.nats.protocol import Control, Event, Msg, ServerError, ServerInfo
from node.broker.nats.subscription import Handed, Subscription
from node.config.nats_urls import Server
from node.config.options import NatsOptions

logger = structlog.get_logger(__name__)

_NOT_CONNECTED = "not connected to NATS"
# Bits of the random name of a feed's inbox.
_INBOX_BITS = 96
# Between the last message of a server that is left and the subscriptions at the next one: what has come from
# the first has passed the second by then, and does not come again.
_APART_S = 0.05
# How long a server that is left may take for the last PONG. Nothing can be published meanwhile.
_LAST_PONG_S = 1.0


class Feed:
    """One node's connection to NATS.

    Args:
        options: servers, credentials and limits.
        name: what the servers show for this connection.
        on_broken: called once when a connection that stood is lost; returns at once.
        on_restored: called when every subscription is in force at a server, also the first time. Messages
            may be delivered shortly before.
        rng: for the order of servers, the delays and the inbox's name; the system's randomness if None.

    Raises:
        ValueError: `broker.nats.url` cannot be read.

    Attributes:
        connected: from `on_restored` to `on_broken`, or to when the connection begins to be left.
        server_info: what the current server said last, or the one before while there is none.
        reconnects: connections that stood, the first one not counted.
        messages_in, bytes_in: messages that arrived, and all bytes.
        messages_out, bytes_out: messages and bytes handed to the connection (`publish`, requests).
        unclaimed: messages for subscriptions given back meanwhile, not delivered.
        refused: publishes refused because the outbox was full or there was no connection.
        bytes_lost: written to a connection and still in its outbox when it broke.
        server_errors: -ERR received; permission_errors, slow_consumer_errors: those among them.
    """

    def __init__(
        self,
        options: NatsOptions,
        *,
        name: str,
        on_broken: Callable[[], None],
        on_restored: Callable[[], None],
        rng: random.Random | None = None,
    ) -> None:
        self._options = options
        self._on_broken = on_broken
        self._on_restored = on_restored
        self._rng = rng or random.SystemRandom()
        self._dialer = Dialer(options, name, self._rng)
        self._connection: Connection | None = None
        self._successor: Connection | None = None
        self._lame = trio.Event()
        self._restoring: Probe | None = None
        self._restored = trio.Event()
        self._broken_at: float | None = None
        self._stood_before = self._stands = False
        self._subscriptions: dict[bytes, Subscription] = {}
        self._next_sid = 1
        self.connected = False
        self.server_info = ServerInfo()
        self.reconnects = 0
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0
        self.unclaimed = self.refused = self.bytes_lost = 0
        self.server_errors = self.permission_errors = self.slow_consumer_errors = 0
        self._inbox = Inbox(f"_INBOX.{self._rng.getrandbits(_INBOX_BITS):x}")
        self.subscribe(self._inbox.subject, self._inbox.deliver)

    @property
    def disconnected_for_s(self) -> float:
        """Seconds since the feed broke, or since `run` began; 0.0 while it stands or was never run."""
        return 0.0 if self._broken_at is None else trio.current_time() - self._broken_at

    @property
    def outbox_bytes(self) -> int:
        """Bytes waiting to be sent."""
        return self._connection.outbox_bytes if self._connection else 0

    @property
    def subscriptions(self) -> list[Subscription]:
        """What is subscribed now."""
        return list(self._subscriptions.values())

    def counters(self) -> dict[str, int]:
        """What this feed has counted, by the names of `Broker.counters`."""
        return {
            "feed_reconnects": self.reconnects,
            "feed_refused": self.refused,
            "feed_lost_bytes": self.bytes_lost,
            "feed_unclaimed": self.unclaimed,
            "feed_late_answers": self._inbox.late,
            "feed_server_errors": self.server_errors,
            "feed_permission_errors": self.permission_errors,
            "feed_slow_consumer_errors": self.slow_consumer_errors,
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and connect again, for ever: a task of its own. Started at once, not when connected.

        What a `deliver` or a callback raises ends it. Cancelled, it closes the connection.
        """
        self._broken_at = trio.current_time()
        task_status.started()
        attempt = 0
        try:
            while True:
                began_at = trio.current_time()
                connection = self._successor or await self._dialer.connect(attempt)
                self._successor = None
                attempt += 1
                if connection is not None:
                    await self._carry(connection)
                    # A server that takes us and soon throws us out again is met with growing delays, too.
                    if trio.current_time() - began_at >= self._options.reconnect_delay_max_s:
                        attempt = 0
                await trio.sleep(_APART_S if self._successor else self._dialer.delay_s(attempt))
        finally:
            if self._successor is not None:
                await self._successor.abandon()

    async def wait_connected(self, deadline_s: float) -> None:
        """Wait until the feed stands.

        Raises:
            BrokerUnavailable: it does not within the deadline.
        """
        with trio.move_on_after(deadline_s):
            await self._restored.wait()
        if not self.connected:
            because = f": {self._dialer.failure}" if self._dialer.failure else ""
            raise BrokerUnavailable(f"{_NOT_CONNECTED} within {deadline_s:g} s{because}")

    def subscribe(self, subject: str, deliver: Callable[[Msg], None]) -> Subscription:
        """Have a subject's messages handed to a function; see `add`.

        Args:
            subject: wildcards allowed.
            deliver: called in the reading task with each message: returns at once and does not raise.

        Raises:
            ValueError: no subject.
        """
        subscription = Handed(subject, deliver)
        self.add(subscription)
        return subscription

    def add(self, subscription: Subscription) -> None:
        """Ask for messages from now on, over every connection to come; in force after `flush`.

        Raises:
            ValueError: no subject.
        """
        sid = b"%d" % self._next_sid
        command = commands.sub(subscription.subject, sid)
        self._next_sid += 1
        subscription.sid = sid
        self._subscriptions[sid] = subscription
        if self._connection is not None:
            self._connection.write(command)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Give a subscription back, once; its `deliver` is not called again. Never blocks."""
        sid, subscription.sid = subscription.sid, b""
        del self._subscriptions[sid]
        if self._connection is not None:
            self._connection.write(commands.unsub(sid))

    async def flush(self, deadline_s: float) -> None:
        """Wait until all that was subscribed and published before is in force at the server.

        Over a connection that is being left, too: it delivers until it ends, and not after.

        Raises:
            Unanswered: the deadline passed.
            BrokerUnavailable: no connection, or it broke meanwhile: it delivers nothing more.
        """
        if self._connection is None:
            raise BrokerUnavailable(_NOT_CONNECTED)
        probe = self._connection.probe()
        with trio.move_on_after(deadline_s):
            await probe.settled.wait()
        if not probe.settled.is_set():
            raise Unanswered(f"no PONG within {deadline_s:g} s")
        if not probe.answered:
            raise BrokerUnavailable("the connection to NATS broke")

    def publish(self, subject: str, payload: bytes, headers: bytes = b"", reply: str = "") -> None:
        """Send a message, at most once; never blocks.

        Args:
            subject: without wildcards.
            payload: the body.
            headers: a block made by `encode_headers`, b"" for none.
            reply: where answers are to go, "" for nowhere.

        Raises:
            BrokerUnavailable: not connected, or too much waits to be sent already.
            MessageTooLarge: longer than the server takes.
            ValueError: no subject.
        """
        self.refused += not self.connected
        connection = self._standing_connection()
        size = len(headers) + len(payload)
        if size > self.server_info.max_payload:
            raise MessageTooLarge(
                f"a message of {size} bytes is over the server's max_payload, {self.server_info.max_payload}"
            )
        command = (
            commands.hpub(subject, headers, payload, reply)
            if headers
            else commands.pub(subject, payload, reply)
        )
        if connection.outbox_bytes + len(command) > self._options.outbox_bytes_max:
            self.refused += 1
            raise BrokerUnavailable("too many bytes wait to be sent to NATS (broker.nats.outbox_bytes_max)")
        connection.write(command)
        self.messages_out += 1
        self.bytes_out += len(command)

    async def request(self, subject: str, payload: bytes, headers: bytes = b"", *, deadline_s: float) -> Msg:
        """Publish and wait for one answer; see `request_many`."""
        answers = await self.request_many(
            subject, payload, headers, is_last=_any_answer, deadline_s=deadline_s
        )
        return answers[0]

    async def request_many(
        self,
        subject: str,
        payload: bytes,
        headers: bytes = b"",
        *,
        is_last: Callable[[Msg], bool],
        deadline_s: float,
    ) -> list[Msg]:
        """Publish and wait for answers up to one that `is_last` says is the last, which is included.

        Cancelled, it forgets the request; it may have been acted on.

        Raises:
            NobodyAnswers: nobody listens.
            BrokerUnavailable: as `publish`; the connection broke; the deadline passed.
            MessageTooLarge: as `publish`.
        """
        call = self._inbox.open(subject, is_last, deadline_s)
        try:
            self.publish(subject, payload, headers, call.reply)
            return await call.wait()
        finally:
            self._inbox.close(call)

    def _standing_connection(self) -> Connection:
        if self._connection is None or not self.connected:
            raise BrokerUnavailable(_NOT_CONNECTED)
        return self._connection

    async def _carry(self, connection: Connection) -> None:
        self._connection, self._lame = connection, trio.Event()
        self._hear(connection, connection.info)
        for subscription in self._subscriptions.values():
            connection.write(commands.sub(subscription.subject, subscription.sid))
        self._restoring = connection.probe()
        received = functools.partial(self._received, connection)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_when_lame, connection)
            nursery.start_soon(self._inbox.watch)
            try:
                await connection.run(received, self._options.ping_interval_s)
            finally:
                # In the turn in which who waits for an answer hears that none comes: nobody asks here again.
                self._connection = None
                self.bytes_lost += connection.outbox_bytes
                self._take_nothing_more()
                self._inbox.fail_all("the connection to NATS broke")
            nursery.cancel_scope.cancel()
            logger.warning("feed lost its connection", server=str(connection.server), reason=connection.lost)
            if self._stands:
                self._stands = False
                self._on_broken()

    async def _leave_when_lame(self, connection: Connection) -> None:
        """End a connection to a server in lame duck mode, as soon as another server has accepted us.

        What was published over it has been taken by the server then, and what the server had for us is here.
        Subscribed to at both, a message without an offset would come twice: so never at both.
        """
        await self._lame.wait()
        # Every client of this server hears it now: they do not all move at once.
        delay_s = self._rng.uniform(0.0, self._options.reconnect_delay_max_s)
        attempt = 0
        while self._successor is None:
            await trio.sleep(delay_s)
            # Its own address has its turn, too: there may be others behind it.
            self._successor = await self._dialer.connect(attempt)
            attempt += 1
            delay_s = self._dialer.delay_s(attempt)
        # What was asked is still waited for; answers and messages come ahead of this PONG.
        self._take_nothing_more()
        with trio.move_on_after(_LAST_PONG_S):
            await connection.probe().settled.wait()
        connection.lose("the server is in lame duck mode")

    def _take_nothing_more(self) -> None:
        """Let callers wait for the next connection."""
        if self.connected:
            self._restored = trio.Event()
            self._broken_at = trio.current_time()
        self.connected, self._restoring = False, None

    def _received(self, connection: Connection, data: bytes, events: list[Event]) -> None:
        subscription_of = self._subscriptions.get
        others = 0
        for event in events:
            if type(event) is Msg:
                # Looked up for each: a `deliver` before may have given this subscription back.
                subscription = subscription_of(event.sid)
                if subscription is None:
                    self.unclaimed += 1
                else:
                    subscription.deliver(event)
            else:
                others += 1
                self._obey(connection, event)
        self.bytes_in += len(data)
        self.messages_in += len(events) - others

    def _obey(self, connection: Connection, event: Event) -> None:
        if event is Control.PING:
            connection.write(commands.PONG)
        elif event is Control.PONG:
            if connection.pong_received() is self._restoring:
                self._restore(connection.server)
        elif isinstance(event, ServerInfo):
            self._hear(connection, event)
        elif isinstance(event, ServerError):
            self._complain(event.text, connection.server)

    def _restore(self, server: Server) -> None:
        if self._stood_before:
            self.reconnects += 1
        self._stood_before = self._stands = self.connected = True
        self._broken_at = None
        self._restored.set()
        logger.info("feed connected", server=str(server), server_name=self.server_info.server_name)
        self._on_restored()

    def _hear(self, connection: Connection, info: ServerInfo) -> None:
        self.server_info = info
        self._dialer.learn(connection.server, info.connect_urls)
        if info.ldm:
            self._lame.set()

    def _complain(self, text: str, server: Server) -> None:
        self.server_errors += 1
        count = self.server_errors
        kind = text.lower()
        if kind.startswith("permissions violation"):
            self.permission_errors += 1
            count = self.permission_errors
        elif kind.startswith("slow consumer"):
            self.slow_consumer_errors += 1
            count = self.slow_consumer_errors
        if worth_a_line(count):
            # One missing permission can bring an error per publish: the counters have them all.
            logger.warning("feed got an error from the server", server=str(server), error=text, count=count)


def _any_answer(_answer: Msg) -> bool:
    return True
