"""What all dialogs over WebSocket share: the handshake, control frames, and how they end. Sans-I/O."""

import abc

import msgspec

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.http import BadAnswer, answer_head
from chaos.workload.websocket_frames import (
    CLOSE,
    PING,
    PONG,
    Message,
    Messages,
    check_accepted,
    close_code,
    frame,
    upgrade,
)

_SWITCHED = 101


class WebSocketDialog(abc.ABC):
    """One connection; see Dialog. A transport says what its messages are.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    path: str

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self.listener = listener
        self.wanted = opening.wanted
        self._host = opening.host
        self._head = b""
        self._messages: Messages | None = None

    @abc.abstractmethod
    def first_message(self) -> bytes:
        """The frame that is sent once the connection is a WebSocket."""

    @abc.abstractmethod
    def take(self, message: Message) -> bytes:
        """Take a text or binary message; returns the frames to be sent.

        Raises:
            Over: the node refused the session.
        """

    @abc.abstractmethod
    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog."""

    def opening(self) -> bytes:
        """See Dialog."""
        return upgrade(self.path, self._host)

    def receive(self, data: bytes) -> bytes:
        """See Dialog."""
        answer = b""
        try:
            if self._messages is None:
                data = self._handshake(data)
                if self._messages is None:
                    return b""
                answer = self.first_message()
            for message in self._messages.feed(data):
                answer += self._control(message) if message.opcode >= CLOSE else self.take(message)
        except (BadAnswer, msgspec.MsgspecError) as error:
            raise Over(0, f"not understood: {error}") from error
        return answer

    def _control(self, message: Message) -> bytes:
        if message.opcode == CLOSE:
            raise Over(*close_code(message.data))
        return frame(PONG, message.data) if message.opcode == PING else b""

    def _handshake(self, data: bytes) -> bytes:
        """Take the answer to the upgrade; returns what came behind it."""
        self._head += data
        answer = answer_head(self._head)
        if answer is None:
            return b""
        if answer.status != _SWITCHED:
            retry = answer.fields.get("retry-after", "")
            raise Over(0, f"HTTP {answer.status}", float(retry) if retry.isdigit() else None)
        check_accepted(answer)
        self._messages = Messages()
        rest, self._head = self._head[answer.length :], b""
        return rest
