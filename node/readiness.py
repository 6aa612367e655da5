"""Whether new clients should come to this node, and if not, why: what `/readyz` answers."""

from collections.abc import Callable

from node.broker.interface import Broker


class Readiness:
    """The node's own judgement of itself.

    A node begins to be ready only when every store of history could be used: what is wrong then is most
    likely a new configuration (`stream_replicas: 3` on one server), and a deploy should stop at its first
    node, not go on to the last. A store that fails later fails for every node. Turning all of them away from
    their load balancer at once would take plain channels and the other namespaces down with it, so the node
    stays ready then and says so: in the answer, in the log, and as `broker_stores_unusable`.

    Args:
        broker: without it no client can be served.
        lost_max_s: how long the broker may be away before clients should go elsewhere, seconds.
        leaving: why the node is out of rotation, "" while it is not.

    Attributes:
        shut: why a port that should be open is not, "" if it is; set by an entrance whose port may be.
    """

    def __init__(self, broker: Broker, lost_max_s: float, leaving: Callable[[], str]) -> None:
        self._broker = broker
        self._lost_max_s = lost_max_s
        self._leaving = leaving
        self._was_connected = False
        self._was_complete = False
        self.shut: Callable[[], str] = str

    def refusal(self) -> str:
        """Why new clients should not come, "" if they should."""
        if leaving := self._leaving():
            return leaving
        if shut := self.shut():
            return shut
        if self._broker.connected:
            self._was_connected = True
        elif not self._was_connected:
            return "the broker was not reached yet"
        elif self._broker.disconnected_for_s > self._lost_max_s:
            return f"the broker has been away for {self._broker.disconnected_for_s:.0f} s"
        if not self._was_complete:
            if missing := self.caution():
                return missing
            self._was_complete = True
        return ""

    def caution(self) -> str:
        """What does not work although clients may come, "" for nothing."""
        unusable = self._broker.unusable()
        if not unusable:
            return ""
        name, reason = next(iter(unusable.items()))
        more = f" (and {len(unusable) - 1} more)" if len(unusable) > 1 else ""
        return f"stream {name} cannot be used: {reason}{more}"
