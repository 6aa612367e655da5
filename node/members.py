"""Which nodes there are: each tells the others what it carries, every few seconds, over the broker.

A node that says goodbye is forgotten at once, a silent one after some intervals. This is what `info`
answers from; nothing else depends on it.
"""

from collections.abc import Callable

import msgspec
import structlog
import trio

from node.broker.interface import Broker

_TOPIC = "info"
# Silent intervals after which a node is taken for gone.
_SILENT_INTERVALS = 3
# How often a node that starts looks whether it can be heard.
_CONNECTED_LOOK_S = 0.1

log = structlog.get_logger(__name__)


class NodeInfo(msgspec.Struct, frozen=True):
    """What a node says about itself; counts are of now, `uptime` is in seconds."""

    uid: str
    name: str
    version: str = ""
    num_clients: int = 0
    num_users: int = 0
    num_channels: int = 0
    num_subs: int = 0
    uptime: int = 0
    leaving: bool = False


class Members:
    """The nodes heard of, this one included.

    Args:
        broker: carries the messages.
        describe: what this node says about itself now.
        interval_s: how often it says so, seconds.
    """

    def __init__(self, broker: Broker, describe: Callable[[], NodeInfo], interval_s: float) -> None:
        self._broker = broker
        self._describe = describe
        self._interval_s = interval_s
        self._heard: dict[str, tuple[NodeInfo, float]] = {}
        self.undecodable = 0

    def nodes(self) -> list[NodeInfo]:
        """The living nodes by name; this one is always among them and up to date."""
        mine = self._describe()
        oldest = trio.current_time() - _SILENT_INTERVALS * self._interval_s
        self._heard = {uid: entry for uid, entry in self._heard.items() if entry[1] >= oldest}
        others = [info for uid, (info, _) in self._heard.items() if uid != mine.uid]
        return sorted([mine, *others], key=lambda info: info.name)

    def hear(self, data: bytes) -> None:
        """Take note of what a node said."""
        try:
            info = msgspec.json.decode(data, type=NodeInfo)
        except (msgspec.DecodeError, RecursionError) as error:
            self.undecodable += 1
            log.warning("a node's announcement is undecodable", reason=str(error), rate_limited=True)
            return
        if info.leaving:
            self._heard.pop(info.uid, None)
            return
        new = info.uid not in self._heard
        self._heard[info.uid] = (info, trio.current_time())
        if new and info.uid != self._describe().uid:
            # It has not heard of this node either.
            self.tell()

    def tell(self) -> None:
        """Tell the others what this node carries."""
        self._broker.tell(_TOPIC, msgspec.json.encode(self._describe()))

    def leave(self) -> None:
        """Say goodbye."""
        self._broker.tell(
            _TOPIC, msgspec.json.encode(msgspec.structs.replace(self._describe(), leaving=True))
        )

    async def run(self) -> None:
        """Listen and tell for ever."""
        await self._broker.listen(_TOPIC, self.hear)
        while not self._broker.connected:  # noqa: ASYNC110 - a broker has no event for it
            await trio.sleep(_CONNECTED_LOOK_S)
        while True:
            self.tell()
            await trio.sleep(self._interval_s)
