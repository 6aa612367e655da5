"""The client protocol over WebSocket, in either encoding: a frame holds any number of commands or replies."""

from google.protobuf.message import DecodeError

from chaos.history import Position
from chaos.workload.commands import Commands
from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.json_commands import JsonCommands
from chaos.workload.protobuf_commands import ProtobufCommands
from chaos.workload.websocket_dialog import WebSocketDialog
from chaos.workload.websocket_frames import BINARY, TEXT, Message, frame


class CommandsDialog(WebSocketDialog):
    """One connection; see Dialog. A transport says how it is encoded.

    Args:
        opening: what it is made from.
        listener: the client.
    """

    protobuf: bool

    def __init__(self, opening: Opening, listener: Listener) -> None:
        super().__init__(opening, listener)
        self._opcode = BINARY if self.protobuf else TEXT
        self._commands: Commands = ProtobufCommands(listener) if self.protobuf else JsonCommands(listener)

    def first_message(self) -> bytes:
        """See WebSocketDialog."""
        commands = self._commands
        subscribes = [commands.subscribe(channel, since) for channel, since in self.wanted.items()]
        return frame(self._opcode, commands.together([commands.connect(), *subscribes]))

    def subscribe(self, channel: str, since: Position | None) -> bytes | None:
        """See Dialog."""
        return frame(self._opcode, self._commands.subscribe(channel, since))

    def take(self, message: Message) -> bytes:
        """See WebSocketDialog."""
        commands = self._commands
        replies, rest = commands.replies(message.data + commands.end)
        if rest:
            raise Over(0, "not understood: a message is cut off")
        try:
            pongs = [frame(self._opcode, commands.pong) for reply in replies if commands.take(reply)]
        except DecodeError as error:
            raise Over(0, f"not understood: {error}") from error
        return b"".join(pongs)
