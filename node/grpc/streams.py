"""The streams: each is a session, from its call to its status.

A handler runs in a task of grpc's, and ends with it: when the client goes away, grpc cancels the task. What
clients ask for is served on trio's side.
"""

from collections.abc import Awaitable, Callable, Sequence

import grpc
from msgspec.structs import replace

from node.edge.checks import check_size, check_welcome
from node.edge.status import CallRefused
from node.edge.subscribing import Subscribing, channels_of
from node.grpc.gate import Context, abort, bearer_token, certified_user
from node.grpc.loop import TrioTasks, spawn, stop
from node.grpc.transport import ConnectTransport, GrpcTransport, SubscribeTransport, UniTransport
from node.protocol.errors import RemoteProtocolError
from node.protocol.messages import Command
from node.protocol.protobuf_codec import command_from, connect_request_from
from node.session import Parts
from node.transports.serving import serve_commands


class Streams:
    """The handlers of streams.

    Args:
        parts: the node's.
        trio_tasks: where commands are served.
    """

    def __init__(self, parts: Parts, trio_tasks: TrioTasks) -> None:
        self._parts = parts
        self._trio = trio_tasks

    async def subscribe(self, message: bytes, context: Context) -> bytes:
        """`Subscribe` of the edge."""
        check_size(self._parts, message)
        channels = channels_of(message, self._parts)
        check_welcome(self._parts)
        subscribing = Subscribing(channels)
        transport = SubscribeTransport(self._parts, subscribing)
        commands = subscribing.commands(bearer_token(context))
        return await self._serve(transport, context, lambda: self._commands(transport, commands))

    async def consume(self, message: bytes, context: Context) -> bytes:
        """`Consume` of the unidirectional service."""
        check_size(self._parts, message)
        request = connect_request_from(message)
        if not request.token:
            request = replace(request, token=bearer_token(context))
        check_welcome(self._parts)
        transport = UniTransport(self._parts)
        commands = [Command(id=1, connect=request)]
        return await self._serve(transport, context, lambda: self._commands(transport, commands))

    async def connect(self, _: object, context: Context) -> bytes:
        """`Connect` of the edge."""
        check_welcome(self._parts)
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

    async def _read(self, transport: ConnectTransport, context: Context) -> None:
        """Serve one command after the other; the client's last one ends the session."""
        token = bearer_token(context)
        while (message := await context.read()) is not grpc.aio.EOF:
            try:
                check_size(self._parts, message)
                command = command_from(message)
            except CallRefused as refused:
                transport.session.protocol_error(RemoteProtocolError(f"{refused}"))
                return
            except RemoteProtocolError as error:
                transport.session.protocol_error(error)
                return
            if command.connect is not None and not command.connect.token:
                command = replace(command, connect=replace(command.connect, token=token))
            if command.subscribe is not None:
                transport.subscribes = command.subscribe.channel
            await self._trio.run(serve_commands, transport.session, (command,))
        transport.finish()


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
