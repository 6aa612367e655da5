"""Every transport a client can use, by name."""

from chaos.workload.dialog import MakeDialog
from chaos.workload.plain_sse import PlainSseDialog
from chaos.workload.plain_websocket import PlainWebSocketDialog
from chaos.workload.uni_sse import UniSseDialog
from chaos.workload.websocket_json import JsonDialog
from chaos.workload.websocket_protobuf import ProtobufDialog

TRANSPORTS: dict[str, MakeDialog] = {
    "websocket-json": JsonDialog,
    "websocket-protobuf": ProtobufDialog,
    "uni-sse": UniSseDialog,
    "ws": PlainWebSocketDialog,
    "sse": PlainSseDialog,
}
