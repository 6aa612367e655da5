"""Commands and replies of the client protocol in Protobuf, each behind its length. Sans-I/O."""

from collections.abc import Iterable

import msgspec

from chaos.history import Position
from chaos.workload.commands import CONNECT_ID
from chaos.workload.dialog import Listener, Over, Payload
from protos import client_pb2

payload = msgspec.json.Decoder(Payload).decode


class ProtobufCommands:
    """One session; see Commands.

    Args:
        listener: the client.
    """

    pong = b"\x00"
    end = b""

    def __init__(self, listener: Listener) -> None:
        self.session = ""
        self.node = ""
        self._listener = listener
        self._asked: dict[int, tuple[str, bool]] = {}
        self._last_id = CONNECT_ID

    def connect(self) -> bytes:
        """See Commands."""
        request = client_pb2.ConnectRequest(name="chaos")
        return delimited(client_pb2.Command(id=CONNECT_ID, connect=request))

    def subscribe(self, channel: str, since: Position | None) -> bytes:
        """See Commands."""
        self._last_id += 1
        self._asked[self._last_id] = (channel, since is not None)
        request = client_pb2.SubscribeRequest(channel=channel, positioned=True, recoverable=True)
        if since is not None:
            request.recover, request.epoch, request.offset = True, since.epoch, since.offset
        return delimited(client_pb2.Command(id=self._last_id, subscribe=request))

    def together(self, commands: Iterable[bytes]) -> bytes:
        """See Commands."""
        return b"".join(commands)

    def replies(self, data: bytes) -> tuple[list[bytes], bytes]:
        """See Commands."""
        return cut(data)

    def take(self, reply: bytes) -> bool:
        """See Commands."""
        if reply:
            self._tell(client_pb2.Reply.FromString(reply))
        return not reply

    def _tell(self, reply: client_pb2.Reply) -> None:
        listener = self._listener
        if reply.HasField("push"):
            push = reply.push
            if push.HasField("pub"):
                listener.delivered(push.channel, payload(push.pub.data).id, push.pub.offset)
            elif push.HasField("unsubscribe"):
                listener.unsubscribed(push.channel, push.unsubscribe.code)
            elif push.HasField("disconnect"):
                raise Over(push.disconnect.code, push.disconnect.reason)
        elif reply.id == CONNECT_ID:
            if reply.HasField("error"):
                raise Over(reply.error.code, reply.error.message)
            self.session, self.node = reply.connect.session, reply.connect.node
            listener.welcomed()
        elif reply.id in self._asked:
            channel, asked = self._asked.pop(reply.id)
            if reply.HasField("error"):
                listener.refused(channel, reply.error.code, reply.error.message)
            elif reply.HasField("subscribe"):
                result = reply.subscribe
                listener.subscribed(channel, result.epoch, result.offset, result.recovered if asked else None)
                for publication in result.publications:
                    listener.delivered(channel, payload(publication.data).id, publication.offset)


def delimited(message: client_pb2.Command | client_pb2.Reply) -> bytes:
    """A message behind its length as a varint, as frames and streams hold them."""
    body = message.SerializeToString()
    size, prefix = len(body), bytearray()
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The messages in these bytes, and the part of one behind them that is not whole."""
    found, at, end = [], 0, len(data)
    while at < end:
        size = shift = 0
        begin = at
        while begin < end:
            byte = data[begin]
            begin += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            break
        if begin + size > end:
            break
        found.append(data[begin : begin + size])
        at = begin + size
    return found, data[at:]
