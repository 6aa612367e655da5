"""The server API over gRPC: generated messages in and out, the methods are `node.api`'s.

Source: the server API reference, sections 1 and 3.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message
from msgspec import Struct

from node.access.api_key import ApiKeyCheck
from node.api import messages
from node.api.methods import Api, run_each
from node.broker.interface import BrokerError
from node.config.grpc import GrpcApiOptions
from node.config.options import HttpApiOptions
from node.edge.checks import undecodable
from node.edge.status import CallRefused, Code, Ending
from node.grpc.gate import Context, Handler, metadata
from node.grpc.loop import TrioTasks
from node.protocol.errors import CommandError, UnencodablePayload
from node.protocol.messages import HistoryResult
from node.protocol.protobuf_structs import fill, learn, struct_from
from node.protocol.reasons import BAD_REQUEST
from protos import server_api_pb2

SERVICE = server_api_pb2.DESCRIPTOR.services_by_name["CentrifugoApi"].full_name
# For callers that ask for errors as statuses; others are UNKNOWN.
_STATUS = {
    100: Code.INTERNAL,
    102: Code.NOT_FOUND,
    104: Code.NOT_FOUND,
    107: Code.INVALID_ARGUMENT,
    108: Code.INVALID_ARGUMENT,
    112: Code.OUT_OF_RANGE,
    113: Code.ALREADY_EXISTS,
}

for _struct in (
    messages.BroadcastRequest,
    messages.BroadcastResult,
    messages.ChannelRequest,
    messages.Error,
    messages.HistoryRequest,
    messages.InfoResult,
    messages.NoFields,
    messages.PublishRequest,
    messages.RpcRequest,
    HistoryResult,
):
    learn(_struct)


class _Method(NamedTuple):
    """What serves a request.

    Attributes:
        struct: the request's form for the method.
        call: the method.
    """

    struct: type[Struct]
    call: Callable[[Any], Awaitable[Struct]]


class GrpcServerApi:
    """The handlers.

    Args:
        api: does the work.
        options: who may call, and how errors look.
        trio_tasks: where it is done.
    """

    def __init__(self, api: Api, options: GrpcApiOptions, trio_tasks: TrioTasks) -> None:
        self._api = api
        self._trio = trio_tasks
        self._statuses = options.error_mode == "transport"
        self._key = ApiKeyCheck(HttpApiOptions(key=options.key, insecure=options.insecure))
        one, none = api.channel_not_available, api.not_available
        # As the fields of a Command are named.
        self._methods = {
            "publish": _Method(messages.PublishRequest, api.publish),
            "broadcast": _Method(messages.BroadcastRequest, api.broadcast),
            "subscribe": _Method(messages.ChannelRequest, one),
            "unsubscribe": _Method(messages.NoFields, none),
            "disconnect": _Method(messages.NoFields, none),
            "presence": _Method(messages.ChannelRequest, one),
            "presence_stats": _Method(messages.ChannelRequest, one),
            "history": _Method(messages.HistoryRequest, api.history),
            "history_remove": _Method(messages.ChannelRequest, api.history_remove),
            "info": _Method(messages.NoFields, api.info),
            "rpc": _Method(messages.RpcRequest, api.rpc),
            "refresh": _Method(messages.NoFields, none),
            "channels": _Method(messages.NoFields, none),
        }

    def handlers(self) -> dict[str, Handler]:
        """Every method of the service by its name."""
        handlers: dict[str, Handler] = {"Batch": self._batch}
        for field in server_api_pb2.Command.DESCRIPTOR.fields:
            kind = type(getattr(server_api_pb2.Command(), field.name)).__name__.removesuffix("Request")
            handlers[kind] = self._handler(field.name, kind)
        return handlers

    def _handler(self, name: str, kind: str) -> Handler:
        request_type = getattr(server_api_pb2, f"{kind}Request")
        response_type = getattr(server_api_pb2, f"{kind}Response")

        async def handle(message: bytes, context: Context) -> bytes:
            self._check_key(context)
            try:
                request = request_type.FromString(message)
            except DecodeError:
                self._api.undecodable(name, "not Protobuf")
                raise undecodable(f"{kind}Request") from None
            result = await self._trio.run(self._outcome, name, request)
            if self._statuses and isinstance(result, messages.Error):
                status = _STATUS.get(result.code, Code.UNKNOWN)
                raise CallRefused(Ending(status, result.message, result.code), "api")
            response = response_type()
            _put(response, "error" if isinstance(result, messages.Error) else "result", result)
            encoded: bytes = response.SerializeToString()
            return encoded

        return handle

    async def _batch(self, message: bytes, context: Context) -> bytes:
        self._check_key(context)
        try:
            request = server_api_pb2.BatchRequest.FromString(message)
        except DecodeError:
            self._api.undecodable("batch", "not Protobuf")
            raise undecodable("BatchRequest") from None
        replies = [server_api_pb2.Reply() for _ in request.commands]

        async def serve(index: int, command: server_api_pb2.Command) -> None:
            await self._reply(command, replies[index])

        async def serve_in_order() -> None:
            for index, command in enumerate(request.commands):
                await serve(index, command)

        if request.parallel:
            await self._trio.run(run_each, request.commands, serve)
        else:
            await self._trio.run(serve_in_order)
        return server_api_pb2.BatchResponse(replies=replies).SerializeToString()

    async def _reply(self, command: server_api_pb2.Command, reply: server_api_pb2.Reply) -> None:
        """Serve one command of a batch."""
        fields = command.ListFields()
        if len(fields) != 1:
            _put(reply, "error", messages.Error(BAD_REQUEST.code, BAD_REQUEST.message))
            return
        ((field, request),) = fields
        result = await self._outcome(field.name, request)
        _put(reply, "error" if isinstance(result, messages.Error) else field.name, result)

    async def _outcome(self, name: str, request: Message) -> Struct:
        """A method's result, or why there is none."""
        method = self._methods[name]
        try:
            return await method.call(struct_from(method.struct, request))
        except (CommandError, BrokerError, UnencodablePayload) as failure:
            return self._api.error_of(failure, name)

    def _check_key(self, context: Context) -> None:
        if not self._key.allows(None, metadata(context, "authorization")):
            details = "give the API's key as the metadata `authorization: apikey KEY` (grpc_api.key)"
            raise CallRefused(Ending(Code.UNAUTHENTICATED, details), "api_key")


def _put(message: Any, field: str, struct: Struct) -> None:
    part = getattr(message, field)
    # A result without content must still be there.
    part.SetInParent()
    fill(part, struct)
