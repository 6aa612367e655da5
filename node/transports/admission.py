"""Who gets a session here and now, and what the others are told."""

import random

import structlog

from node.session import Parts
from node.transports.refusal import Refusal
from node.transports.request import Connection, Head

log = structlog.get_logger(__name__)

# Clients that found this node closed come back after one to so many seconds, and not all at once.
_RETRY_AFTER_MAX_S = 5


def check_welcome(parts: Parts) -> None:
    """Send a client away for a while: another node, or this one a little later, takes it.

    Raises:
        Refusal: 503; whole seconds until the client may come back, spread.
    """
    if cause := parts.refusal():
        raise retry_later(cause, "this node takes no new sessions now")


def retry_later(cause: str, detail: str) -> Refusal:
    """Another time, or another node, may serve what is refused now.

    Args:
        cause: see Refusal.
        detail: see Refusal.
    """
    seconds = random.randint(1, _RETRY_AFTER_MAX_S)  # noqa: S311 - spreading load is no secret
    return Refusal(503, cause, detail, f"Retry-After: {seconds}\r\n")


def check_origin(head: Head, parts: Parts) -> None:
    """Whether the page that makes this request may.

    Raises:
        Refusal: 403.
    """
    if not parts.origins.allows(head.header("origin") or None, head.header("host") or None):
        raise Refusal(403, "origin", "this origin is not in client.allowed_origins")


async def refuse(connection: Connection, head: Head, refusal: Refusal, transport: str, parts: Parts) -> bool:
    """Answer a request that is refused, log and count why.

    Args:
        connection: nothing was written to it for this request.
        head: the request; its body, if any, is taken as not read.
        refusal: the answer.
        transport: the name of who refused.
        parts: the node's.

    Returns:
        Whether the connection may carry another request.
    """
    log.info(
        "request refused",
        transport=transport,
        status=refusal.status,
        reason=refusal.detail,
        rate_limited=refusal.cause,
    )
    parts.metrics.refused[refusal.cause] += 1
    return await connection.answer(
        head, refusal.status, refusal.detail, fields=refusal.fields, close=bool(head.content_length)
    )
