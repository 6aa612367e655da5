"""The edge's calls that are no sessions: publish once or many times, read history."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import trio
from google.protobuf.message import DecodeError
from msgspec import Raw

from node.access import permissions
from node.access.tokens import Credentials
from node.broker.interface import BrokerError
from node.grpc.framing import history_page
from node.grpc.gate import Context, Gate, undecodable
from node.grpc.loop import Signal, TrioTasks, spawn, stop
from node.grpc.status import CallRefused, ending_of_failure
from node.protocol.errors import CommandError
from node.protocol.messages import ClientInfo, HistoryResult, StreamPosition
from node.protocol.reasons import INTERNAL
from node.session import Parts
from protos import edge_pb2

# Failures that a summary names; beyond them it counts.
_FAILURES_MAX = 1000

_T = TypeVar("_T")


class Calls:
    """The handlers of calls.

    Args:
        parts: the node's.
        gate: who may call.
        trio_tasks: where the broker is waited for.
    """

    def __init__(self, parts: Parts, gate: Gate, trio_tasks: TrioTasks) -> None:
        self._parts = parts
        self._gate = gate
        self._trio = trio_tasks
        self._publishing: set[_PublishStream] = set()

    def leave(self) -> None:
        """Let every stream of messages end with the one that is being published."""
        for stream in self._publishing:
            stream.leave()

    async def publish(self, message: bytes, context: Context) -> bytes:
        """`Publish`."""
        self._gate.check_size(message)
        credentials = self._gate.credentials(context)
        await self._in_time(self._publish, credentials, message)
        return edge_pb2.PublishResponse().SerializeToString()

    async def publish_stream(self, _: object, context: Context) -> bytes:
        """`PublishStream`."""
        self._gate.check_welcome()
        credentials = self._gate.credentials(context)
        stream = _PublishStream(lambda message: self._publish_one(credentials, message))
        self._publishing.add(stream)
        try:
            return await stream.serve(context)
        finally:
            self._publishing.discard(stream)

    async def history(self, message: bytes, context: Context) -> bytes:
        """`History`."""
        self._gate.check_size(message)
        credentials = self._gate.credentials(context)
        try:
            request = edge_pb2.HistoryRequest.FromString(message)
        except DecodeError:
            raise undecodable("HistoryRequest") from None
        result = await self._in_time(self._history, credentials, request)
        return history_page(request.channel, result).SerializeToString()

    async def _in_time(self, call: Callable[..., Awaitable[_T]], *args: object) -> _T:
        """Have trio make a call of the broker's.

        Raises:
            CallRefused: it took too long, or it failed.
        """

        async def timed() -> _T:
            with trio.fail_after(self._parts.config.client.command_deadline_s):
                return await call(*args)

        try:
            return await self._trio.run(timed)
        except trio.TooSlowError:
            raise CallRefused(ending_of_failure(TimeoutError()), "deadline") from None
        except BrokerError as failure:
            raise CallRefused(ending_of_failure(failure), "broker") from failure

    async def _publish(self, credentials: Credentials, message: bytes) -> None:
        try:
            request = edge_pb2.PublishRequest.FromString(message)
        except DecodeError:
            raise undecodable("PublishRequest") from None
        parts, user = self._parts, credentials.user
        resolved = parts.rules.resolve(request.channel)
        permissions.check_publish(user, resolved, parts.config, subscribed=False)
        info = ClientInfo(user, conn_info=Raw(credentials.info))
        await parts.publisher.publish(request.channel, request.data, info=info)

    async def _publish_one(self, credentials: Credentials, message: bytes) -> edge_pb2.Failure | None:
        """Publish one of many; why it failed, None if it did not."""
        self._gate.check_size(message)
        try:
            await self._in_time(self._publish, credentials, message)
        except CommandError as failure:
            said = f": {failure.detail}" if failure.detail else ""
            error, text = failure.error, f"{failure.error.message}{said}"
        except CallRefused as failure:
            error, text = INTERNAL, failure.ending.details
        else:
            return None
        channel = edge_pb2.PublishRequest.FromString(message).channel
        self._parts.metrics.command_errors[error.code] += 1
        return edge_pb2.Failure(channel=channel, code=error.code, message=text)

    async def _history(self, credentials: Credentials, request: edge_pb2.HistoryRequest) -> HistoryResult:
        parts = self._parts
        resolved = parts.rules.resolve(request.channel)
        resolved.require_history()
        permissions.check_history(credentials.user, resolved, parts.config, subscribed=False)
        limit_max = parts.config.client.history_max_publication_limit
        since = StreamPosition(request.since.offset, request.since.epoch)
        return await parts.channels.history(
            request.channel,
            limit=limit_max if request.limit < 0 else min(request.limit, limit_max),
            since=since if request.HasField("since") else None,
            reverse=request.reverse,
        )


class _PublishStream:
    """One client's messages.

    Args:
        publish: one of them; returns why it failed.
    """

    def __init__(self, publish: Callable[[bytes], Awaitable[edge_pb2.Failure | None]]) -> None:
        self._publish = publish
        self._summary = edge_pb2.PublishStreamResponse()
        self._over = Signal()
        self._reading = False
        self._leaving = False
        self._error: BaseException | None = None

    def leave(self) -> None:
        """Look at no further message."""
        self._leaving = True
        if self._reading:
            self._over.set()

    async def serve(self, context: Context) -> bytes:
        """Publish until the client has sent its last message, or `leave`; the summary."""
        working = spawn(self._work(context))
        try:
            await self._over.wait()
        finally:
            await stop(working)
        if self._error is not None:
            raise self._error
        return self._summary.SerializeToString()

    async def _work(self, context: Context) -> None:
        try:
            while not self._leaving:
                self._reading = True
                message = await context.read()
                self._reading = False
                if message is grpc.aio.EOF:
                    break
                self._note(await self._publish(message))
        except Exception as error:  # noqa: BLE001 - raised again by the handler, whose task this is for
            self._error = error
        finally:
            self._over.set()

    def _note(self, failure: edge_pb2.Failure | None) -> None:
        summary = self._summary
        if failure is None:
            summary.accepted += 1
        else:
            failure.index = summary.received
            summary.failed += 1
            if summary.failed <= _FAILURES_MAX:
                summary.failures.append(failure)
        summary.received += 1
