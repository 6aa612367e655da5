"""/connection/http_stream and /connection/sse: a stream of replies, and commands in requests of their own.

As the SDKs do it: the connect command opens the stream, every later frame is POSTed to `/emulation` of
whichever node is reached. Sans-I/O: what `receive` and `subscribe` return is the body of such a request.
"""

import abc
from urllib.parse import quote

import msgspec
from google.protobuf.message import DecodeError

from chaos.history import Position
from chaos.workload.commands import Commands
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.event_stream import Events
from chaos.workload.http import BadAnswer, request
from chaos.workload.json_commands import JsonCommands
from chaos.workload.protobuf_commands import ProtobufCommands
from chaos.workload.streamed import StreamedAnswer
from protos import client_pb2

_JSON = "application/json"
_PROTOBUF = "application/octet-stream"


class EmulatedDialog(abc.ABC):
    """One stream; see Dialog, and the module for what is different.

    Args:
        opening: what it is made from.
        listener: the client.

    Attributes:
        protobuf: whether that is the encoding; otherwise JSON.
    """

    protobuf = False

    def __init__(self, opening: Opening, listener: Listener) -> None:
        self.host = opening.host
        self.commands: Commands = ProtobufCommands(listener) if self.protobuf else JsonCommands(listener)
        self._wanted = opening.wanted
        self._answer = StreamedAnswer()
        self._asked = False

    @property
    def content_type(self) -> str:
        """Of requests to `/emulation`."""
        return _PROTOBUF if self.protobuf else _JSON

    @abc.abstractmethod
    def opening(self) -> bytes:
        """See Dialog."""

    @abc.abstractmethod
    def replies(self, body: bytes) -> list[bytes]:
        """The replies that these bytes of the stream complete."""

    def receive(self, data: bytes) -> bytes:
        """See Dialog and the module."""
        commands = self.commands
        try:
            replies = self.replies(self._answer.feed(data))
            frames = [commands.pong for reply in replies if commands.take(reply)]
        except (BadAnswer, ValueError, msgspec.MsgspecError, DecodeError) as error:
            raise Over(0, f"not understood: {error}") from error
        if commands.session and not self._asked:
            self._asked = True
            frames += [commands.subscribe(channel, since) for channel, since in self._wanted.items()]
        return self._request(commands.together(frames)) if frames else b""

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog and the module."""
        return self._request(self.commands.subscribe(channel, since))

    def _request(self, frame: bytes) -> bytes:
        named = {"session": self.commands.session, "node": self.commands.node}
        if self.protobuf:
            return client_pb2.EmulationRequest(data=frame, **named).SerializeToString()
        return msgspec.json.encode({**named, "data": frame.decode()})


class HttpStreamDialog(EmulatedDialog):
    """/connection/http_stream in JSON: replies are lines."""

    _rest = b""

    def opening(self) -> bytes:
        """See Dialog."""
        fields = {"Content-Type": self.content_type}
        return request("POST", "/connection/http_stream", self.host, fields, self.commands.connect())

    def replies(self, body: bytes) -> list[bytes]:
        """See EmulatedDialog."""
        found, self._rest = self.commands.replies(self._rest + body)
        return found


class HttpStreamProtobufDialog(HttpStreamDialog):
    """/connection/http_stream in Protobuf: each reply is behind its length."""

    protobuf = True


class EmulatedSseDialog(EmulatedDialog):
    """/connection/sse: replies are events. An SDK comes back by its own delays, not by the EventSource's."""

    def __init__(self, opening: Opening, listener: Listener) -> None:
        super().__init__(opening, listener)
        self._events = Events()

    def opening(self) -> bytes:
        """See Dialog."""
        target = f"/connection/sse?cf_connect={quote(self.commands.connect())}"
        return request("GET", target, self.host, {"Accept": "text/event-stream"})

    def replies(self, body: bytes) -> list[bytes]:
        """See EmulatedDialog."""
        return [line for event in self._events.feed(body) for line in event.data.split(b"\n")]
