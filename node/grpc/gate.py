"""Who may call, and how a call that is not served ends: what every handler asks first."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog

from node.access.connect import authenticate
from node.access.tokens import Credentials
from node.grpc.status import CallRefused, Ending, ending_of_failure
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.messages import ConnectRequest
from node.protocol.reasons import DISCONNECT_BAD_REQUEST
from node.session import Parts

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
# A call whose answer is one message; a stream is served by one that answers b"", which is not sent.
Handler = Callable[[Any, Context], Awaitable[bytes]]


def metadata(context: Context, name: str) -> str:
    """A value of the call's metadata, "" if there is none.

    Args:
        context: of the call.
        name: in lower case.
    """
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return ""


def bearer_token(context: Context) -> str:
    """The token of the metadata `authorization: Bearer TOKEN` (RFC 6750, section 2.1), "" for none."""
    scheme, _, token = metadata(context, "authorization").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def certified_user(context: Context) -> str:
    """The common name of the client's certificate, "" without one.

    One that was not verified is not shown by grpc at all.
    """
    for name in context.auth_context().get("x509_common_name", ()):
        return bytes(name).decode(errors="replace")
    return ""


class Gate:
    """The checks.

    Args:
        parts: the node's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check_welcome(self) -> None:
        """Send a client away for a while: another node, or this one a little later, takes it.

        Raises:
            CallRefused: UNAVAILABLE, with the time to wait.
        """
        if cause := self._parts.refusal():
            details = "this node takes no new sessions now"
            raise CallRefused(Ending(grpc.StatusCode.UNAVAILABLE, details), cause)

    def check_size(self, message: bytes) -> None:
        """See that a client's message is not too long.

        Raises:
            CallRefused: RESOURCE_EXHAUSTED.
        """
        bytes_max = self._parts.config.grpc_server.message_size_limit
        self._parts.metrics.bytes_in += len(message)
        if len(message) > bytes_max:
            details = f"a message of {len(message)} bytes; grpc_server.message_size_limit is {bytes_max}"
            raise CallRefused(Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, details), "message_size")

    def credentials(self, context: Context) -> Credentials:
        """Who calls, for a call that is no session.

        Raises:
            CommandError: the token has expired.
            RemoteProtocolError: it is no good, or there is none where one is needed.
        """
        request = ConnectRequest(token=bearer_token(context))
        return authenticate(request, self._parts.config.client, time.time(), certified_user(context))

    def guarded(self, handler: Handler) -> Handler:
        """A handler whose refusals become status codes, counted and logged.

        Args:
            handler: may raise CallRefused, CommandError and RemoteProtocolError.
        """

        async def call(request: Any, context: Context) -> bytes:
            try:
                return await handler(request, context)
            except CallRefused as refused:
                ending, cause = refused.ending, refused.cause
            except (CommandError, RemoteProtocolError) as failure:
                ending, cause = ending_of_failure(failure), "session"
            self._parts.metrics.refused[cause] += 1
            log.info("call refused", status=ending.code.name, reason=ending.details, rate_limited=cause)
            return await abort(context, ending)

        return call


def undecodable(name: str) -> RemoteProtocolError:
    """A message is none of the contract's.

    Args:
        name: of the message it should be.
    """
    return RemoteProtocolError(f"the message is not a Protobuf {name}", DISCONNECT_BAD_REQUEST)


async def abort(context: Context, ending: Ending) -> NoReturn:
    """End a call with a status."""
    await context.abort(ending.code, ending.details, ending.trailing_metadata)
    raise AssertionError("abort returns by raising")
