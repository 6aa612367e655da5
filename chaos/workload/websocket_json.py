"""/connection/websocket in JSON: connect and all subscribes in one frame, as centrifuge-js sends them."""

from chaos.workload.websocket_commands import CommandsDialog


class JsonDialog(CommandsDialog):
    """One connection; see CommandsDialog."""

    path = "/connection/websocket"
    protobuf = False
