"""Every transport a client can use, by name."""

from chaos.workload.dialog import MakeDialog
from chaos.workload.emulated import EmulatedSseDialog, HttpStreamDialog, HttpStreamProtobufDialog
from chaos.workload.grpc_dialog import GrpcDialog
from chaos.workload.grpc_web import GrpcWebDialog
from chaos.workload.plain_sse import PlainSseDialog
from chaos.workload.plain_websocket import PlainWebSocketDialog
from chaos.workload.uni_http_stream import UniHttpStreamDialog
from chaos.workload.uni_sse import UniSseDialog
from chaos.workload.uni_websocket import UniWebSocketDialog
from chaos.workload.websocket_json import JsonDialog
from chaos.workload.websocket_protobuf import ProtobufDialog

# Has nodes of its own.
GRPC = "grpc"
# What every node offers, those for gRPC included; the others can be switched off, and are by default.
ALWAYS = ("websocket-json", "websocket-protobuf", "uni-sse", "ws", "sse", GRPC)
TRANSPORTS: dict[str, MakeDialog] = {
    "websocket-json": JsonDialog,
    "websocket-protobuf": ProtobufDialog,
    "uni-sse": UniSseDialog,
    "uni-http-stream": UniHttpStreamDialog,
    "uni-websocket": UniWebSocketDialog,
    "http-stream-json": HttpStreamDialog,
    "http-stream-protobuf": HttpStreamProtobufDialog,
    "emulated-sse": EmulatedSseDialog,
    "grpc-web": GrpcWebDialog,
    GRPC: GrpcDialog,
    "ws": PlainWebSocketDialog,
    "sse": PlainSseDialog,
}
