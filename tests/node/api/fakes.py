"""A broker in a dictionary, and an API on top of it, for tests of the API and of its doors."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
from msgspec import Raw

from node.access.channels import ChannelRules
from node.api.envelope import JsonApi
from node.api.methods import Api
from node.api.publisher import Publisher
from node.broker.interface import Broker, BrokerError, HistoryOptions, Message
from node.config.options import ChannelOptions, ChannelsOptions, Duration, Namespace
from node.members import NodeInfo
from node.protocol.errors import CommandError
from node.protocol.messages import HistoryResult, Publication, StreamPosition
from node.protocol.reasons import UNRECOVERABLE_POSITION
from node.telemetry.metrics import Metrics

EPOCH = "e1"
KEPT = {"history_size": 10, "history_ttl": Duration(60)}
CHANNELS = ChannelsOptions(
    without_namespace=ChannelOptions(**KEPT),
    namespaces=(
        Namespace(name="plain"),
        Namespace(name="json", publication_data_format="json", **KEPT),
        Namespace(name="object", publication_data_format="json_object", **KEPT),
        Namespace(name="binary", publication_data_format="binary", **KEPT),
    ),
)


@dataclass
class FakeBroker:
    """Keeps what is published; `failure` makes every call fail, `gate` makes publishes wait."""

    published: list[tuple[str, Message, HistoryOptions | None, str]] = field(default_factory=list)
    stored: dict[str, list[Publication]] = field(default_factory=dict)
    keys: dict[tuple[str, str], StreamPosition] = field(default_factory=dict)
    failure: BrokerError | None = None
    gate: trio.Event | None = None
    at_once: int = 0
    at_once_max: int = 0

    async def publish(
        self, channel: str, message: Message, history: HistoryOptions | None = None, message_id: str = ""
    ) -> StreamPosition | None:
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        if message_id and (channel, message_id) in self.keys:
            return self.keys[channel, message_id]
        self.published.append((channel, message, history, message_id))
        if history is None:
            return None
        log = self.stored.setdefault(channel, [])
        position = StreamPosition(len(log) + 1, EPOCH)
        log.append(Publication(data=Raw(message.data), offset=position.offset, tags=message.tags or {}))
        self.keys[channel, message_id] = position
        return position

    async def remove_history(self, channel: str) -> StreamPosition:
        if self.failure is not None:
            raise self.failure
        return StreamPosition(len(self.stored.pop(channel, [])), EPOCH)

    async def history(
        self, channel: str, *, limit: int, since: StreamPosition | None, reverse: bool
    ) -> HistoryResult:
        """Stands in for history.Channels."""
        if since is not None and since.epoch != EPOCH:
            raise CommandError(UNRECOVERABLE_POSITION)
        log = self.stored.get(channel, [])
        found = [publication for publication in log if publication.offset > (since.offset if since else 0)]
        found = found[::-1] if reverse else found
        return HistoryResult(tuple(found if limit < 0 else found[:limit]), EPOCH, len(log))


class ApiParts:
    """An API on a fake broker."""

    def __init__(self, nodes: Sequence[NodeInfo] = ()) -> None:
        self.fake = FakeBroker()
        broker: Broker = self.fake  # type: ignore[assignment]  # what the API needs of it
        self.metrics = Metrics()
        self.rules = ChannelRules(CHANNELS)
        self.publisher = Publisher(broker, self.rules, self.metrics)
        self.api = Api(self.publisher, self.fake, broker, self.rules, lambda: nodes, self.metrics)
        self.json = JsonApi(self.api)
