"""Every transport of the recovery test, by name."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.integration.cluster import NodeProcess
from tests.integration.recovery import clients, emulated, rpc
from tests.integration.recovery.clients import Note
from tests.integration.recovery.judge import Record

# A client of the first node; the other one may be sent what need not go to the first.
Visit = Callable[[NodeProcess, dict[str, Record], Note, NodeProcess], Awaitable[None]]


class Way(NamedTuple):
    """A transport.

    Attributes:
        visit: uses it until the node ends that.
        serve: what nodes that have it serve, as `broadcast node --serve` names it.
    """

    visit: Visit
    serve: str = "http"


def _at_one_node(visit: Callable[[NodeProcess, dict[str, Record], Note], Awaitable[None]]) -> Visit:
    return lambda node, records, note, _other: visit(node, records, note)


TRANSPORTS: dict[str, Way] = {
    "websocket json": Way(_at_one_node(clients.websocket_json)),
    "websocket protobuf": Way(_at_one_node(clients.websocket_protobuf)),
    "uni_sse": Way(_at_one_node(clients.uni_sse)),
    "sse": Way(_at_one_node(clients.plain_sse)),
    "sse emulation": Way(emulated.sse),
    "http_stream json": Way(emulated.http_stream_json),
    "http_stream protobuf": Way(emulated.http_stream_protobuf),
    "grpc subscribe": Way(_at_one_node(rpc.subscribe), "grpc"),
    "grpc connect": Way(_at_one_node(rpc.connect), "grpc"),
    "grpc-web subscribe": Way(_at_one_node(rpc.web_subscribe)),
}
