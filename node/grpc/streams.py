"""The streams: each is a session, from its call to its status.

A handler runs in a task of grpc's, and ends with it: when the client goes away, grpc cancels the task. What
clients ask for is served on trio's side.
"""

from collections.abc import Awaitable, Callable, Sequence

import grpc
from google.protobuf.message import DecodeError
from msgspec.structs import replace

from node.grpc.gate import Context, Gate, abort, bearer_token, certified_user, undecodable
from node.grpc.loop import TrioTasks, spawn, stop
from node.grpc.status import CallRefused
from node.grpc.transport import ConnectTransport, GrpcTransport, SubscribeTransport, UniTransport
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import Command, StreamPosition
from node.protocol.protobuf_codec import command_from, connect_request_from
from node.protocol.reasons import BAD_REQUEST, LIMIT_EXCEEDED
from node.session import Parts
from node.transports.serving import serve_commands
from protos import edge_pb2


class Streams:
    """The handlers of streams.

    Args:
        parts: the node's.
        gate: who may call.
        trio_tasks: where commands are served.
    """

    def __init__(self, parts: Parts, gate: Gate, trio_tasks: TrioTasks) -> None:
        self._parts = parts
        self._gate = gate
        self._trio = trio_tasks

    async def subscribe(self, message: bytes, context: Context) -> bytes:
        """`Subscribe` of the edge."""
        self._gate.check_size(message)
        channels = self._channels(message)
        self._gate.check_welcome()
        transport = SubscribeTransport(self._parts, channels)
        commands = transport.commands(bearer_token(context))
        return await self._serve(transport, context, lambda: self._commands(transport, commands))

    async def consume(self, message: bytes, context: Context) -> bytes:
        """`Consume` of the unidirectional service."""
        self._gate.check_size(message)
        request = connect_request_from(message)
        if not request.token:
            request = replace(request, token=bearer_token(context))
        self._gate.check_welcome()
        transport = UniTransport(self._parts)
        commands = [Command(id=1, connect=request)]
        return await self._serve(transport, context, lambda: self._commands(transport, commands))

    async def connect(self, _: object, context: Context) -> bytes:
        """`Connect` of the edge."""
        self._gate.check_welcome()
        transport = ConnectTransport(self._parts)
        return await self._serve(transport, context, lambda: self._read(transport, context))

    async def _serve(
        self, transport: GrpcTransport, context: Context, read: Callable[[], Awaitable[None]]
    ) -> bytes:
        """Serve a stream until either side ends it."""
        transport.session.certified_user = certified_user(context)
        # Not cancelled: what grpc was given it has, and it lets go of it when the call ends.
        writing = spawn(_hand_on(transport, context))
        reading = spawn(_until_gone(read, transport))
        try:
            await transport.over.wait()
        finally:
            transport.end()
            await stop(reading)
        if transport.ending is not None:
            await abort(context, transport.ending)
        await writing
        return b""

    async def _commands(self, transport: GrpcTransport, commands: Sequence[Command]) -> None:
        await self._trio.run(serve_commands, transport.session, commands)

    async def _read(self, transport: GrpcTransport, context: Context) -> None:
        """Serve one command after the other; the client's last one ends the session."""
        token = bearer_token(context)
        while (message := await context.read()) is not grpc.aio.EOF:
            try:
                self._gate.check_size(message)
                command = command_from(message)
            except CallRefused as refused:
                transport.session.protocol_error(RemoteProtocolError(f"{refused}"))
                return
            except RemoteProtocolError as error:
                transport.session.protocol_error(error)
                return
            if command.connect is not None and not command.connect.token:
                command = replace(command, connect=replace(command.connect, token=token))
            await self._trio.run(serve_commands, transport.session, (command,))
        transport.finish()

    def _channels(self, message: bytes) -> dict[str, StreamPosition | None]:
        """What a request asks for.

        Raises:
            CommandError: a channel cannot be subscribed, whoever asks.
            RemoteProtocolError: it is no request.
        """
        try:
            asked = edge_pb2.SubscribeRequest.FromString(message).channels
        except DecodeError:
            raise undecodable("SubscribeRequest") from None
        channels: dict[str, StreamPosition | None] = {}
        for one in asked:
            try:
                self._parts.rules.resolve(one.channel)
            except CommandError as error:
                raise CommandError(error.error, f"{one.channel}: {error.detail}") from None
            at = StreamPosition(one.since.offset, one.since.epoch)
            channels[one.channel] = at if one.HasField("since") else None
        if not channels or len(channels) < len(asked):
            raise CommandError(BAD_REQUEST, "name at least one channel, and each once")
        if len(channels) > self._parts.config.client.channel_limit:
            raise CommandError(LIMIT_EXCEEDED, "client.channel_limit")
        return channels


async def _hand_on(transport: GrpcTransport, context: Context) -> None:
    try:
        await transport.outbox.hand_on(context.write)
    except grpc.aio.BaseError:
        # The call is over: its handler is told so too.
        transport.abort()


async def _until_gone(read: Callable[[], Awaitable[None]], transport: GrpcTransport) -> None:
    try:
        await read()
    except grpc.aio.BaseError:
        # The call is over: its handler is told so too.
        transport.abort()
    except BaseException:
        transport.abort()
        raise
