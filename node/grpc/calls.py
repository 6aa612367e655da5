"""The edge's calls that are no sessions: publish once or many times, read history."""

import time
from collections.abc import Awaitable, Callable

import grpc
import structlog

from node.access.tokens import Credentials
from node.edge import calls
from node.edge.checks import check_size, check_welcome, credentials
from node.edge.status import CallRefused, ending_of_failure
from node.grpc.gate import Context, bearer_token, certified_user
from node.grpc.loop import Signal, TrioTasks, spawn, stop
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.reasons import BAD_REQUEST, INTERNAL, LIMIT_EXCEEDED, ReplyError
from node.session import Parts
from protos import edge_pb2

log = structlog.get_logger(__name__)

# Failures that a summary names; beyond them it counts.
_FAILURES_MAX = 1000


class Calls:
    """The handlers of calls.

    Args:
        parts: the node's.
        trio_tasks: where the broker is waited for.
    """

    def __init__(self, parts: Parts, trio_tasks: TrioTasks) -> None:
        self._parts = parts
        self._trio = trio_tasks
        self._publishing: set[_PublishStream] = set()

    def leave(self) -> None:
        """Let every stream of messages end with the one that is being published."""
        for stream in self._publishing:
            stream.leave()

    async def publish(self, message: bytes, context: Context) -> bytes:
        """`Publish`."""
        check_size(self._parts, message)
        return await self._trio.run(calls.publish, self._parts, self._credentials(context), message)

    async def history(self, message: bytes, context: Context) -> bytes:
        """`History`."""
        check_size(self._parts, message)
        return await self._trio.run(calls.history, self._parts, self._credentials(context), message)

    async def publish_stream(self, _: object, context: Context) -> bytes:
        """`PublishStream`."""
        check_welcome(self._parts)
        who = self._credentials(context)
        stream = _PublishStream(
            lambda message: self._publish_one(who, message), lambda: self._has_expired(who)
        )
        self._publishing.add(stream)
        try:
            return await stream.serve(context)
        finally:
            self._publishing.discard(stream)

    def _credentials(self, context: Context) -> Credentials:
        return credentials(self._parts, bearer_token(context), certified_user(context))

    def _has_expired(self, who: Credentials) -> bool:
        if who.expire_at is None or time.time() < who.expire_at:
            return False
        self._parts.metrics.refused["expired"] += 1
        log.info("stream of messages ended", reason="the token has expired", rate_limited=True)
        return True

    async def _publish_one(self, who: Credentials, message: bytes) -> edge_pb2.Failure | None:
        """Publish one of many; why it failed, None if it did not."""
        try:
            check_size(self._parts, message)
        except CallRefused as refused:
            return self._failure(LIMIT_EXCEEDED, f"{LIMIT_EXCEEDED.message}: {refused.ending.details}")
        try:
            await self._trio.run(calls.publish, self._parts, who, message)
        except RemoteProtocolError as failure:
            return self._failure(BAD_REQUEST, f"{BAD_REQUEST.message}: {failure.detail}")
        except CommandError as failure:
            return self._failure(failure.error, ending_of_failure(failure).details, message)
        except CallRefused as failure:
            return self._failure(INTERNAL, failure.ending.details, message)
        return None

    def _failure(self, error: ReplyError, text: str, message: bytes = b"") -> edge_pb2.Failure:
        self._parts.metrics.command_errors[error.code] += 1
        log.info("message refused", code=error.code, reason=text, rate_limited=error.code)
        channel = edge_pb2.PublishRequest.FromString(message).channel
        return edge_pb2.Failure(channel=channel, code=error.code, message=text)


class _PublishStream:
    """One client's messages.

    Args:
        publish: one of them; returns why it failed.
        has_expired: whether the client may publish no further one.
    """

    def __init__(
        self,
        publish: Callable[[bytes], Awaitable[edge_pb2.Failure | None]],
        has_expired: Callable[[], bool],
    ) -> None:
        self._publish = publish
        self._has_expired = has_expired
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
        """Publish until the client has sent its last message, may send no more, or `leave`; the summary."""
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
                # One that came in the turn in which `leave` ended the reading is not looked at any more.
                # An expired token ends it in the same way: a status would take the summary along.
                if message is grpc.aio.EOF or self._leaving or self._has_expired():
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
