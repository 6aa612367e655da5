"""Whether new clients should come to this node, and if not, why: what `/readyz` answers."""

import trio

from node.broker.interface import Broker


class Readiness:
    """The node's own judgement of itself.

    Args:
        broker: without it no client can be served.
        lost_max_s: how long the broker may be away before clients should go elsewhere, seconds.
        stopping: set when the node leaves.
    """

    def __init__(self, broker: Broker, lost_max_s: float, stopping: trio.Event) -> None:
        self._broker = broker
        self._lost_max_s = lost_max_s
        self._stopping = stopping
        self._was_connected = False

    def refusal(self) -> str:
        """Why new clients should not come, "" if they should."""
        if self._stopping.is_set():
            return "the node is stopping"
        if self._broker.connected:
            self._was_connected = True
        elif not self._was_connected:
            return "the broker was not reached yet"
        elif self._broker.disconnected_for_s > self._lost_max_s:
            return f"the broker has been away for {self._broker.disconnected_for_s:.0f} s"
        return ""
