"""Requests that wait for their answers, over one wildcard subscription. Sends nothing itself.

Each request has a reply subject of its own below the inbox; its last word finds the request again. One task
watches all deadlines: a cancel scope for each request took 6 us, more than a third of its way through here.
"""

from collections.abc import Callable

import trio

from node.broker.interface import BrokerUnavailable, NobodyAnswers
from node.broker.nats.protocol import Msg

# The status a server answers with when nobody listens to the subject of a request.
NO_RESPONDERS = 503
# How much later than its deadline a call may end.
_WATCH_INTERVAL_S = 0.1


class Call:
    """One request and what has come back for it.

    Args:
        subject: where it is sent to.
        reply: the subject its answers come to.
        is_last: says whether an answer is the last one.
        deadline_s: from now.

    Attributes:
        reply: the subject its answers come to.
        answers: in the order they came.
    """

    __slots__ = ("_deadline", "_deadline_s", "_done", "_failure", "_is_last", "_subject", "answers", "reply")

    def __init__(self, subject: str, reply: str, is_last: Callable[[Msg], bool], deadline_s: float) -> None:
        self.reply = reply
        self.answers: list[Msg] = []
        self._subject = subject
        self._is_last = is_last
        self._deadline_s = deadline_s
        self._deadline = trio.current_time() + deadline_s
        self._failure: BrokerUnavailable | None = None
        self._done = trio.Event()

    @property
    def ended(self) -> bool:
        """Whether its last answer is here or cannot come any more."""
        return self._done.is_set()

    def take(self, answer: Msg) -> None:
        """Take an answer; the last one, or the news that nobody listens, ends the call."""
        if answer.status == NO_RESPONDERS and not answer.payload:
            self.fail(NobodyAnswers(f"nobody answers requests to {self._subject}"))
            return
        self.answers.append(answer)
        if self._is_last(answer):
            self._done.set()

    def fail(self, failure: BrokerUnavailable) -> None:
        """End the call without its last answer."""
        self._failure = failure
        self._done.set()

    def fail_if_overdue(self, now: float) -> None:
        """End the call if its deadline has passed without its last answer."""
        if now >= self._deadline and not self.ended:
            self.fail(
                BrokerUnavailable(
                    f"{self._subject}: no last answer within {self._deadline_s:g} s "
                    f"({len(self.answers)} before it)"
                )
            )

    async def wait(self) -> list[Msg]:
        """Wait for the last answer.

        Raises:
            NobodyAnswers: nobody listens.
            BrokerUnavailable: the connection broke, or the deadline passed.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self.answers


class Inbox:
    """The open calls of one feed.

    Args:
        prefix: subject below which all answers come; not to be guessed by others.

    Attributes:
        subject: what to subscribe.
        late: answers to calls that had ended.
    """

    def __init__(self, prefix: str) -> None:
        self.subject = f"{prefix}.*"
        self.late = 0
        self._prefix = prefix
        self._calls: dict[bytes, Call] = {}
        self._count = 0

    def open(self, subject: str, is_last: Callable[[Msg], bool], deadline_s: float) -> Call:
        """A call to be sent to `subject`; the caller closes it whatever happens."""
        self._count += 1
        call = Call(subject, f"{self._prefix}.{self._count}", is_last, deadline_s)
        self._calls[call.reply.encode()] = call
        return call

    def close(self, call: Call) -> None:
        """Forget a call."""
        del self._calls[call.reply.encode()]

    def deliver(self, answer: Msg) -> None:
        """Give an answer to its call."""
        call = self._calls.get(answer.subject)
        if call is None or call.ended:
            self.late += 1
        else:
            call.take(answer)

    async def watch(self) -> None:
        """End calls whose deadline has passed, until cancelled: a task of its own."""
        while True:
            await trio.sleep(_WATCH_INTERVAL_S)
            now = trio.current_time()
            for call in self._calls.values():
                call.fail_if_overdue(now)

    def fail_all(self, reason: str) -> None:
        """End every open call."""
        for call in self._calls.values():
            call.fail(BrokerUnavailable(reason))
