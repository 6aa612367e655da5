"""/connection/websocket in Protobuf: connect and all subscribes in one frame."""

from chaos.workload.websocket_commands import CommandsDialog


class ProtobufDialog(CommandsDialog):
    """One connection; see CommandsDialog."""

    path = "/connection/websocket?cf_protocol=protobuf"
    protobuf = True
