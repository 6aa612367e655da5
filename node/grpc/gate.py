"""What a call says of its caller, and how a call that is not served ends."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog

from node.edge.status import CallRefused, Code, Ending, ending_of_failure
from node.protocol.errors import CommandError, RemoteProtocolError
from node.protocol.reasons import INTERNAL
from node.session import Parts

log = structlog.get_logger(__name__)

_STATUS = {code.value[0]: code for code in grpc.StatusCode}

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
    """Makes refusals of handlers what clients see of them.

    Args:
        parts: the node's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def guarded(self, handler: Handler) -> Handler:
        """A handler whose refusals become status codes, counted and logged.

        Args:
            handler: may raise CallRefused, CommandError and RemoteProtocolError; anything else is a fault
                of this program, which its client is told nothing of.
        """

        async def call(request: Any, context: Context) -> bytes:
            try:
                return await handler(request, context)
            except CallRefused as refused:
                ending, cause = refused.ending, refused.cause
            except (CommandError, RemoteProtocolError) as failure:
                ending, cause = ending_of_failure(failure), "session"
            except grpc.aio.BaseError:
                # The call is over already, by its handler or by its client.
                raise
            except Exception as error:
                # The one place for this: a fault that concerns one call must not end the others.
                self._parts.metrics.failures += 1
                log.exception("serving a call failed", rate_limited=type(error).__name__)
                return await abort(context, Ending(Code.INTERNAL, INTERNAL.message, INTERNAL.code))
            self._parts.metrics.refused[cause] += 1
            log.info("call refused", status=ending.code.name, reason=ending.details, rate_limited=cause)
            return await abort(context, ending)

        return call


async def abort(context: Context, ending: Ending) -> NoReturn:
    """End a call with a status."""
    await context.abort(_STATUS[ending.code], ending.details, ending.trailing_metadata)
    raise AssertionError("abort returns by raising")
