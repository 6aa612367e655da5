"""What WebSocket clients share, and what one client may take of the loop."""

import trio
from msgspec import Raw
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from node.protocol.messages import Publication
from node.transports.websocket_transport import WEBSOCKET_JSON, WEBSOCKET_PROTOBUF
from tests.node.transports.served import served
from tests.node.transports.test_websocket import dial


def test_joined_publications_are_single_frames_to_a_client() -> None:
    """What is written at once is still one frame per publication, text for JSON and binary for Protobuf."""
    publication = Publication(Raw(b'{"n":1}'), offset=3)
    for framing, opcode in ((WEBSOCKET_JSON, Opcode.TEXT), (WEBSOCKET_PROTOBUF, Opcode.BINARY)):
        one = framing.publication("news", publication)
        client = ClientProtocol(parse_uri("ws://localhost"), state=OPEN)
        client.receive_data(framing.join([one, one]))
        events = client.events_received()
        assert [event.opcode for event in events if isinstance(event, Frame)] == [opcode, opcode]
    assert WEBSOCKET_JSON.ping == b"\x81\x02{}"
    assert WEBSOCKET_PROTOBUF.ping == b"\x82\x01\x00"


async def test_a_flood_of_tiny_frames_does_not_hold_the_loop() -> None:
    """Promise 3: others have their turn between the frames that came in one segment."""
    async with served() as node:
        client = await dial(node)
        await client.stream.send_all(Frame(Opcode.PONG, b"").serialize(mask=True) * 10_000)
        await client.send(Opcode.PING, b"last")
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            assert (await client.frame()).data == b"last"
            nursery.cancel_scope.cancel()
        assert turns > 200
