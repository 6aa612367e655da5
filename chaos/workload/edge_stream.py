"""`Subscribe` of the edge service (protos/edge.proto) as clients see it, whatever carries it. Sans-I/O."""

import struct
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from google.protobuf.message import DecodeError

from chaos.history import Position
from chaos.workload.dialog import Listener, Over
from chaos.workload.protobuf_commands import payload
from protos import edge_pb2

PATH = "/broadcast.edge.v1.Edge/Subscribe"
_TRAILERS = 0x80
_HEAD_BYTES = 5
_INSUFFICIENT_STATE = 2500


class EdgeStream:
    """One stream.

    Args:
        wanted: the channels, and where the client stands in them.
        listener: the client.
    """

    __slots__ = ("_listener", "_rest", "_wanted", "_welcomed")

    def __init__(self, wanted: Mapping[str, Position | None], listener: Listener) -> None:
        self._wanted = wanted
        self._listener = listener
        self._rest = b""
        self._welcomed = False

    def request(self) -> bytes:
        """The one message of the client, behind its length."""
        request = edge_pb2.SubscribeRequest()
        for channel, since in self._wanted.items():
            one = request.channels.add(channel=channel)
            if since is not None:
                one.since.epoch, one.since.offset = since.epoch, since.offset
        message = request.SerializeToString()
        return struct.pack("!BI", 0, len(message)) + message

    def feed(self, body: bytes) -> dict[str, str] | None:
        """Tell the listener what these bytes of the answer mean; returns the trailers if they are in them.

        Raises:
            Over: a message is none of the contract's.
        """
        data = self._rest + body
        at, trailers = 0, None
        while len(data) - at >= _HEAD_BYTES:
            flags, size = struct.unpack_from("!BI", data, at)
            end = at + _HEAD_BYTES + size
            if end > len(data):
                break
            part, at = data[at + _HEAD_BYTES : end], end
            if flags & _TRAILERS:
                lines = (line.partition(":") for line in part.decode().splitlines())
                trailers = {name.strip(): value.strip() for name, _, value in lines}
            else:
                self._message(part)
        self._rest = data[at:]
        return trailers

    def _message(self, message: bytes) -> None:
        if not self._welcomed:
            self._welcomed = True
            self._listener.welcomed()
        try:
            for event in edge_pb2.SubscribeResponse.FromString(message).events:
                self._event(event)
        except (DecodeError, msgspec.MsgspecError) as error:
            raise Over(0, f"not understood: {error}") from error

    def _event(self, event: edge_pb2.Event) -> None:
        if event.HasField("publication"):
            publication = event.publication
            self._listener.delivered(publication.channel, payload(publication.data).id, publication.offset)
        elif event.HasField("subscribed"):
            self._subscribed(event.subscribed)
        elif event.HasField("gap") and event.gap.channel and not event.gap.HasField("position"):
            # One at the beginning was told with `recovered`; one of every channel is the end of the stream.
            self._listener.unsubscribed(event.gap.channel, _INSUFFICIENT_STATE)

    def _subscribed(self, said: edge_pb2.Subscribed) -> None:
        since = self._wanted.get(said.channel)
        # What was missed is still to come: until then the client stands where it stood.
        offset = since.offset if since is not None and said.recovered else said.position.offset
        recovered = None if since is None else said.recovered
        self._listener.subscribed(said.channel, said.position.epoch, offset, recovered)


def ending(trailers: Mapping[str, str]) -> Over:
    """How a stream ended, by its trailing metadata."""
    code = trailers.get("broadcast-code", "")
    wait_ms = trailers.get("retry-after-ms", "")
    status = trailers.get("grpc-status", "missing")
    reason = unquote(trailers.get("grpc-message", "")) or "end of stream"
    return Over(
        int(code) if code.isdigit() else 0,
        f"status {status}: {reason}",
        int(wait_ms) / 1000 if wait_ms.isdigit() else None,
    )
