"""The server API's methods on structs: one core for every door that offers them.

Methods raise CommandError and BrokerError; how an error looks is each door's business, what it is called is
`error_of`'s. Source: the server API reference, section 2.
"""

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog
import trio

from node.access.channels import ChannelRules
from node.api.messages import (
    NOT_FOUND,
    BroadcastRequest,
    BroadcastResult,
    ChannelRequest,
    Error,
    HistoryRequest,
    InfoResult,
    NodeResult,
    NoFields,
    PublicationRequest,
    PublishRequest,
    PublishResponse,
    PublishResult,
    RpcRequest,
)
from node.api.publisher import Publisher
from node.broker.interface import Broker, BrokerError
from node.members import NodeInfo
from node.protocol.errors import CommandError, UnencodablePayload
from node.protocol.messages import HistoryResult, StreamPosition
from node.protocol.reasons import BAD_REQUEST, INTERNAL, NOT_AVAILABLE
from node.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

# Publications of one broadcast, and commands of one parallel batch, that are under way together.
AT_ONCE_MAX = 1024

_NOT_OFFERED = "this version does not offer the method"

_Item = TypeVar("_Item")

# What a call can fail with; everything else is a bug.
ApiFailure = CommandError | BrokerError | UnencodablePayload


class HistoryReader(Protocol):
    """What the API needs of `history.Channels`."""

    async def history(
        self, channel: str, *, limit: int, since: StreamPosition | None, reverse: bool
    ) -> HistoryResult:
        """A page of a channel's history; raises CommandError or BrokerError."""


class Api:
    """The methods.

    Args:
        publisher: the way into a channel.
        history: reads what is stored.
        broker: removes what is stored.
        rules: which channels there are.
        nodes: who is alive.
        metrics: failed calls are counted there.
    """

    def __init__(
        self,
        publisher: Publisher,
        history: HistoryReader,
        broker: Broker,
        rules: ChannelRules,
        nodes: Callable[[], Sequence[NodeInfo]],
        metrics: Metrics,
    ) -> None:
        self._publisher = publisher
        self._history = history
        self._broker = broker
        self._rules = rules
        self._nodes = nodes
        self._metrics = metrics

    async def publish(self, request: PublishRequest) -> PublishResult:
        """Publish to one channel."""
        return await self._publish(request.channel, request, _data(request))

    async def broadcast(self, request: BroadcastRequest) -> BroadcastResult:
        """Publish to several channels at once; a channel's failure is its own."""
        if not request.channels:
            raise CommandError(BAD_REQUEST, "broadcast without channels")
        data = _data(request)
        responses = [PublishResponse()] * len(request.channels)

        async def publish_to(index: int, channel: str) -> None:
            try:
                responses[index] = PublishResponse(result=await self._publish(channel, request, data))
            except (CommandError, BrokerError) as error:
                responses[index] = PublishResponse(error=self.error_of(error, "broadcast"))

        await run_each(request.channels, publish_to)
        return BroadcastResult(tuple(responses))

    async def history(self, request: HistoryRequest) -> HistoryResult:
        """Read a channel's history; the limits for clients do not apply."""
        self._rules.resolve(request.channel).require_history()
        return await self._history.history(
            request.channel, limit=max(request.limit, -1), since=request.since, reverse=request.reverse
        )

    async def history_remove(self, request: ChannelRequest) -> NoFields:
        """Remove a channel's history; its position goes on from where it is."""
        self._rules.resolve(request.channel).require_history()
        await self._broker.remove_history(request.channel)
        return NoFields()

    async def info(self, request: NoFields) -> InfoResult:  # noqa: ARG002 - one shape for all methods
        """The nodes alive."""
        return InfoResult(
            tuple(
                NodeResult(
                    uid=node.uid,
                    name=node.name,
                    version=node.version,
                    num_clients=node.num_clients,
                    num_users=node.num_users,
                    num_channels=node.num_channels,
                    uptime=node.uptime,
                    num_subs=node.num_subs,
                )
                for node in self._nodes()
            )
        )

    async def rpc(self, request: RpcRequest) -> NoFields:
        """No extension registers methods here."""
        if not request.method:
            raise CommandError(BAD_REQUEST, "rpc without a method")
        raise CommandError(NOT_FOUND, "no such rpc method")

    async def channel_not_available(self, request: ChannelRequest) -> NoFields:
        """A method on one channel that this version does not offer."""
        self._rules.resolve(request.channel)
        raise CommandError(NOT_AVAILABLE, _NOT_OFFERED)

    async def not_available(self, request: NoFields) -> NoFields:  # noqa: ARG002 - one shape for all methods
        """A method that this version does not offer."""
        raise CommandError(NOT_AVAILABLE, _NOT_OFFERED)

    def error_of(self, failure: ApiFailure, method: str) -> Error:
        """What the caller is told; counted and logged.

        Args:
            failure: what a method raised.
            method: its name, for the log.
        """
        if isinstance(failure, CommandError):
            error = failure.error
            _log_refused(method, error.code, failure.detail or error.message)
        elif isinstance(failure, UnencodablePayload):
            error = NOT_AVAILABLE
            _log_refused(method, error.code, str(failure))
        else:
            error = INTERNAL
            reason = str(failure)
            log.warning("api call failed", method=method, code=error.code, reason=reason, rate_limited=True)
        self._metrics.command_errors[error.code] += 1
        return Error(error.code, error.message)

    def undecodable(self, method: str, reason: str) -> None:
        """Count and log a request that is not JSON of the right shape.

        Args:
            method: its name.
            reason: what was wrong, without any of the values.
        """
        self._metrics.malformed["api"] += 1
        log.info("api call undecodable", method=method, reason=reason, rate_limited=True)

    async def _publish(self, channel: str, request: PublicationRequest, data: bytes) -> PublishResult:
        if request.version or request.version_epoch:
            # Storing it regardless would let an older version overwrite a newer one.
            raise CommandError(NOT_AVAILABLE, "publications by version are not offered")
        # `delta` allows a saving and promises nothing, so it may be ignored.
        position = await self._publisher.publish(
            channel,
            data,
            tags=request.tags,
            skip_history=request.skip_history,
            idempotency_key=request.idempotency_key,
        )
        return PublishResult() if position is None else PublishResult(position.offset, position.epoch)


async def run_each(items: Sequence[_Item], run: Callable[[int, _Item], Awaitable[None]]) -> None:
    """Run a function on every item and its index, up to `AT_ONCE_MAX` at a time."""
    todo = iter(enumerate(items))

    async def work() -> None:
        for index, item in todo:
            await run(index, item)

    async with trio.open_nursery() as nursery:
        for _ in range(min(len(items), AT_ONCE_MAX)):
            nursery.start_soon(work)


def _log_refused(method: str, code: int, reason: str) -> None:
    log.info("api call refused", method=method, code=code, reason=reason, rate_limited=code)


def _data(request: PublicationRequest) -> bytes:
    if not request.b64data:
        data = bytes(request.data)
        return b"" if data == b"null" else data
    try:
        return b64decode(request.b64data, validate=True)
    except (binascii.Error, ValueError):
        raise CommandError(BAD_REQUEST, "b64data is not base64") from None
