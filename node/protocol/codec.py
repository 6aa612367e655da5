"""What an encoding of the client protocol is: frames into commands, replies and pushes into bytes.

Two exist: `json_codec.JSON_CODEC` and `protobuf_codec.PROTOBUF_CODEC`. Both are stateless and shared by
all clients. Frames are whole: splitting a stream into frames is the transport's business.
"""

from typing import Protocol

from node.protocol.messages import Command, Push, Reply

# More commands with any content do not fit into a frame of the default size (64 kB). The limit is for empty
# ones: decoding tens of thousands of pongs would hold everybody else up.
COMMANDS_PER_FRAME_MAX = 4096


class Codec(Protocol):
    """One encoding of the client protocol.

    Attributes:
        name: "json" or "protobuf".
    """

    name: str

    def decode_commands(self, frame: bytes) -> list[Command]:
        """The commands of one frame, at least one, in order.

        Args:
            frame: what the client sent as one message or one request body.

        Raises:
            RemoteProtocolError: the frame is empty, holds too many commands or cannot be decoded; nothing
                else is ever raised.
        """

    def encode_reply(self, reply: Reply) -> bytes:
        """One message for a bidirectional transport.

        Raises:
            UnencodablePayload: a payload is not valid JSON and this encoding is JSON.
        """

    def encode_push(self, push: Push) -> bytes:
        """One message for a unidirectional transport, where pushes travel bare; an empty push is a ping.

        Raises:
            UnencodablePayload: a payload is not valid JSON and this encoding is JSON.
        """
