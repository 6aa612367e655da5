"""/connection/websocket in Protobuf: connect and all subscribes in one frame."""

import msgspec
from google.protobuf.message import DecodeError

from chaos.history import Position
from chaos.workload.dialog import Listener, Opening, Over, Payload
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_frames import BINARY, Message, frame
from protos import client_pb2

_CONNECT_ID = 1
_PONG = frame(BINARY, b"\x00")
_payload = msgspec.json.Decoder(Payload).decode


class ProtobufDialog(WebSocketDialog):
    """One connection.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    path = "/connection/websocket?cf_protocol=protobuf"

    def __init__(self, opening: Opening, listener: Listener) -> None:
        super().__init__(opening, listener)
        self._asked: dict[int, tuple[str, bool]] = {}
        self._last_id = _CONNECT_ID

    def first_message(self) -> bytes:
        """See WebSocketDialog."""
        connect = client_pb2.Command(id=_CONNECT_ID, connect=client_pb2.ConnectRequest(name="chaos"))
        subscribes = [self._command(channel, since) for channel, since in self.wanted.items()]
        return frame(BINARY, delimited(connect) + b"".join(subscribes))

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog."""
        return frame(BINARY, self._command(channel, since))

    def take(self, message: Message) -> bytes:
        """See WebSocketDialog."""
        answer = b""
        try:
            for body in bodies(message.data):
                if body:
                    self._reply(client_pb2.Reply.FromString(body))
                else:
                    answer += _PONG
        except (DecodeError, IndexError) as error:
            raise Over(0, f"not understood: {error}") from error
        return answer

    def _reply(self, reply: client_pb2.Reply) -> None:
        if reply.HasField("push"):
            push = reply.push
            if push.HasField("pub"):
                self.listener.delivered(push.channel, _payload(push.pub.data).id, push.pub.offset)
            elif push.HasField("unsubscribe"):
                self.listener.unsubscribed(push.channel, push.unsubscribe.code)
        elif reply.id == _CONNECT_ID:
            if reply.HasField("error"):
                raise Over(reply.error.code, reply.error.message)
            self.listener.welcomed()
        elif reply.id in self._asked:
            channel, asked = self._asked.pop(reply.id)
            if reply.HasField("error"):
                self.listener.refused(channel, reply.error.code, reply.error.message)
            elif reply.HasField("subscribe"):
                result = reply.subscribe
                recovered = result.recovered if asked else None
                self.listener.subscribed(channel, result.epoch, result.offset, recovered)
                for publication in result.publications:
                    self.listener.delivered(channel, _payload(publication.data).id, publication.offset)

    def _command(self, channel: str, since: Position | None) -> bytes:
        self._last_id += 1
        self._asked[self._last_id] = (channel, since is not None)
        request = client_pb2.SubscribeRequest(channel=channel, positioned=True, recoverable=True)
        if since is not None:
            request.recover, request.epoch, request.offset = True, since.epoch, since.offset
        return delimited(client_pb2.Command(id=self._last_id, subscribe=request))


def delimited(message: client_pb2.Command) -> bytes:
    """A message behind its length as a varint, as a frame holds them."""
    body = message.SerializeToString()
    size, prefix = len(body), bytearray()
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body


def bodies(data: bytes) -> list[bytes]:
    """The messages of a frame.

    Raises:
        IndexError: the last one is cut off.
    """
    found, at, end = [], 0, len(data)
    while at < end:
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if at + size > end:
            raise IndexError("a message is cut off")
        found.append(data[at : at + size])
        at += size
    return found
