"""Clients of grpcio's own synchronous kind, which the nodes do not use. Every call has a deadline."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from protos import client_pb2, edge_pb2, server_api_pb2, unistream_pb2
from tests.integration.cluster import API_KEY
from tests.patience import PATIENCE_S

EDGE = "/broadcast.edge.v1.Edge/"
UNISTREAM = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/"
API = "/centrifugal.centrifugo.api.CentrifugoApi/"


class Events:
    """The events of a `Subscribe`, one by one; pings are counted and passed over.

    Args:
        call: the stream.
    """

    def __init__(self, call: Any) -> None:
        self.call = call
        self.pings = 0
        self._events = self._read()

    def _read(self) -> Iterator[edge_pb2.Event]:
        for response in self.call:
            if not response.events:
                self.pings += 1
            yield from response.events

    def next(self, kind: str) -> Any:
        """The next event, which must be of this kind."""
        event = next(self._events)
        (field, value), *_ = event.ListFields()
        assert field.name == kind, event
        return value

    def data(self, count: int) -> list[bytes]:
        """The payloads of the next publications."""
        return [self.next("publication").data for _ in range(count)]

    def end(self) -> grpc.RpcError:
        """Read to the end, which must be a status that is not OK."""
        try:
            for _ in self._events:
                pass
        except grpc.RpcError as error:
            return error
        raise AssertionError("the stream ended well")


class Caller:
    """A client of one node; leaving the context closes it.

    Args:
        address: of its gRPC port.
        token: sent with each call of the edge, "" for none.
        credentials: of TLS, None for plain text.
        **options: of the channel, dots as two underscores.
    """

    def __init__(self, address: str, token: str = "", credentials: Any = None, **options: int | str) -> None:
        # A connection of its own, not one shared with other clients of this process.
        given = [("grpc.use_local_subchannel_pool", 1)]
        given += [(name.replace("__", "."), value) for name, value in options.items()]  # type: ignore[misc]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, given)
        else:
            self.channel = grpc.secure_channel(address, credentials, given)
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def subscribe(self, *channels: str, **since: tuple[str, int] | None) -> Events:
        """Subscribe; the positions of channels are given by keyword, as (epoch, offset)."""
        asked = [edge_pb2.ChannelRequest(channel=channel) for channel in channels]
        for channel, at in since.items():
            position = edge_pb2.Position(epoch=at[0], offset=at[1]) if at else None
            asked.append(edge_pb2.ChannelRequest(channel=channel.replace("_", "-"), since=position))
        request = edge_pb2.SubscribeRequest(channels=asked)
        call = self.channel.unary_stream(
            EDGE + "Subscribe", _serialize, edge_pb2.SubscribeResponse.FromString
        )
        return Events(call(request, PATIENCE_S, self.metadata))

    def connect(self, commands: Iterator[client_pb2.Command]) -> Any:
        """The client protocol."""
        call = self.channel.stream_stream(EDGE + "Connect", _serialize, client_pb2.Reply.FromString)
        return call(commands, PATIENCE_S, self.metadata)

    def publish(self, channel: str, data: bytes) -> None:
        """Publish."""
        self.call("Publish", edge_pb2.PublishRequest(channel=channel, data=data), edge_pb2.PublishResponse)

    def publish_stream(self, messages: Iterable[tuple[str, bytes]]) -> edge_pb2.PublishStreamResponse:
        """Publish many."""
        call = self.channel.stream_unary(
            EDGE + "PublishStream", _serialize, edge_pb2.PublishStreamResponse.FromString
        )
        requests = (edge_pb2.PublishRequest(channel=channel, data=data) for channel, data in messages)
        return call(requests, PATIENCE_S, self.metadata)  # type: ignore[no-any-return]

    def history(self, channel: str, limit: int = -1) -> edge_pb2.HistoryResponse:
        """Read history."""
        request = edge_pb2.HistoryRequest(channel=channel, limit=limit)
        return self.call("History", request, edge_pb2.HistoryResponse)  # type: ignore[no-any-return]

    def call(self, method: str, request: Any, response: Any) -> Any:
        """A call of the edge."""
        call = self.channel.unary_unary(EDGE + method, _serialize, response.FromString)
        return call(request, PATIENCE_S, self.metadata)

    def api(self, method: str, request: Any, key: str = API_KEY) -> Any:
        """A call of the server API."""
        response = getattr(server_api_pb2, f"{method}Response")
        call = self.channel.unary_unary(API + method, _serialize, response.FromString)
        return call(request, PATIENCE_S, (("authorization", f"apikey {key}"),))

    def consume(self, request: unistream_pb2.ConnectRequest) -> Any:
        """The unidirectional stream."""
        call = self.channel.unary_stream(UNISTREAM + "Consume", _serialize, unistream_pb2.Push.FromString)
        return call(request, PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()


def _serialize(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


def status_of(error: Any) -> tuple[str, str]:
    """The name of a failed call's status, and the client protocol's code that came with it."""
    trailing = dict(error.trailing_metadata() or ())
    return error.code().name, trailing.get("broadcast-code", "")
