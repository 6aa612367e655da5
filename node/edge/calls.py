"""The edge's calls of one message: publish, and read history. Messages are bytes of the contract's."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from google.protobuf.message import DecodeError
from msgspec import Raw

from node.access import permissions
from node.access.tokens import Credentials
from node.broker.interface import BrokerError
from node.edge.checks import undecodable
from node.edge.framing import history_page
from node.edge.status import CallRefused, ending_of_failure
from node.protocol.messages import ClientInfo, StreamPosition
from node.session import Parts
from protos import edge_pb2

_T = TypeVar("_T")


async def publish(parts: Parts, credentials: Credentials, message: bytes) -> bytes:
    """`Publish`.

    Raises:
        CallRefused: the broker did not take it, or not in time.
        CommandError: it is not allowed.
        RemoteProtocolError: it is no request.
    """
    try:
        request = edge_pb2.PublishRequest.FromString(message)
    except DecodeError:
        raise undecodable("PublishRequest") from None
    resolved = parts.rules.resolve(request.channel)
    permissions.check_publish(credentials.user, resolved, parts.config, subscribed=False)
    info = ClientInfo(credentials.user, conn_info=Raw(credentials.info))
    await _in_time(parts, lambda: parts.publisher.publish(request.channel, request.data, info=info))
    return edge_pb2.PublishResponse().SerializeToString()


async def history(parts: Parts, credentials: Credentials, message: bytes) -> bytes:
    """`History`; raises as `publish`."""
    try:
        request = edge_pb2.HistoryRequest.FromString(message)
    except DecodeError:
        raise undecodable("HistoryRequest") from None
    resolved = parts.rules.resolve(request.channel)
    resolved.require_history()
    permissions.check_history(credentials.user, resolved, parts.config, subscribed=False)
    limit_max = parts.config.client.history_max_publication_limit
    limit = limit_max if request.limit < 0 else min(request.limit, limit_max)
    at = StreamPosition(request.since.offset, request.since.epoch)
    since = at if request.HasField("since") else None
    result = await _in_time(
        parts,
        lambda: parts.channels.history(request.channel, limit=limit, since=since, reverse=request.reverse),
    )
    return history_page(request.channel, result).SerializeToString()


async def _in_time(parts: Parts, call: Callable[[], Awaitable[_T]]) -> _T:
    try:
        with trio.fail_after(parts.config.client.command_deadline_s):
            return await call()
    except trio.TooSlowError:
        raise CallRefused(ending_of_failure(TimeoutError()), "deadline") from None
    except BrokerError as failure:
        raise CallRefused(ending_of_failure(failure), "broker") from failure
