"""What both event streams share: one request, and events until the end. Sans-I/O."""

import abc

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.event_stream import Event, Events
from chaos.workload.http import BadAnswer, request
from chaos.workload.streamed import StreamedAnswer

# How long an EventSource waits if its stream did not say; a few seconds in every browser.
RETRY_S = 3.0


class SseDialog(abc.ABC):
    """One connection; see Dialog. A transport says what its events are.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self.listener = listener
        self.wanted = opening.wanted
        self._host = opening.host
        self._last_event_id = opening.last_event_id
        self._answer = StreamedAnswer()
        self._events = Events(opening.last_event_id)

    @property
    def last_event_id(self) -> str:
        """What an EventSource sends when it comes back."""
        return self._events.last_id

    @property
    def retry_s(self) -> float | None:
        """How long the node asks to wait before coming back."""
        return self._events.retry_s

    @abc.abstractmethod
    def target(self) -> str:
        """What is asked for."""

    @abc.abstractmethod
    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            Over: the node says that the stream ends.
        """

    def opening(self) -> bytes:
        """See Dialog."""
        fields = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_event_id:
            fields["Last-Event-ID"] = self._last_event_id
        return request("GET", self.target(), self._host, fields)

    def receive(self, data: bytes) -> bytes:
        """See Dialog."""
        try:
            for event in self._events.feed(self._answer.feed(data)):
                self.take(event)
        except (BadAnswer, ValueError, msgspec.MsgspecError) as error:
            raise Over(0, f"not understood: {error}") from error
        return b""

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:  # noqa: ARG002 - see Dialog
        """See Dialog: a stream is joined anew."""
        return None
