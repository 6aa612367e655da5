"""Requests that wait for their answers, over one wildcard subscription. Sends nothing itself.

Each request has a reply subject of its own below the inbox; its last word finds the request again.
"""

from collections.abc import Callable

import trio

from node.broker.interface import BrokerUnavailable, NobodyAnswers
from node.broker.nats.protocol import Msg

# The status a server answers with when nobody listens to the subject of a request.
NO_RESPONDERS = 503


class Call:
    """One request and what has come back for it.

    Attributes:
        reply: the subject its answers come to.
        answers: in the order they came.
    """

    __slots__ = ("_done", "_failure", "_is_last", "_subject", "answers", "reply")

    def __init__(self, subject: str, reply: str, is_last: Callable[[Msg], bool]) -> None:
        self.reply = reply
        self.answers: list[Msg] = []
        self._subject = subject
        self._is_last = is_last
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

    async def wait(self, deadline_s: float) -> list[Msg]:
        """Wait for the last answer.

        Raises:
            NobodyAnswers: nobody listens.
            BrokerUnavailable: the connection broke, or the deadline passed.
        """
        with trio.CancelScope(deadline=trio.current_time() + deadline_s):
            await self._done.wait()
        if self._failure is not None:
            raise self._failure
        if not self.ended:
            count = len(self.answers)
            raise BrokerUnavailable(
                f"{self._subject}: no last answer within {deadline_s:g} s ({count} before it)"
            )
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

    def open(self, subject: str, is_last: Callable[[Msg], bool]) -> Call:
        """A call to be sent to `subject`; the caller closes it whatever happens."""
        self._count += 1
        call = Call(subject, f"{self._prefix}.{self._count}", is_last)
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

    def fail_all(self, reason: str) -> None:
        """End every open call."""
        for call in self._calls.values():
            call.fail(BrokerUnavailable(reason))
