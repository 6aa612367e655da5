"""Every transport of the recovery test, by name."""

from collections.abc import Awaitable, Callable

from tests.integration.cluster import NodeProcess
from tests.integration.recovery import clients, emulated
from tests.integration.recovery.clients import Note
from tests.integration.recovery.judge import Record

# A client of the first node; the other one may be sent what need not go to the first.
Visit = Callable[[NodeProcess, dict[str, Record], Note, NodeProcess], Awaitable[None]]


def _at_one_node(visit: Callable[[NodeProcess, dict[str, Record], Note], Awaitable[None]]) -> Visit:
    return lambda node, records, note, _other: visit(node, records, note)


TRANSPORTS: dict[str, Visit] = {
    "websocket json": _at_one_node(clients.websocket_json),
    "websocket protobuf": _at_one_node(clients.websocket_protobuf),
    "uni_sse": _at_one_node(clients.uni_sse),
    "sse": _at_one_node(clients.plain_sse),
    "sse emulation": emulated.sse,
    "http_stream json": emulated.http_stream_json,
    "http_stream protobuf": emulated.http_stream_protobuf,
}
