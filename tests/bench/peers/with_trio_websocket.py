"""A fan-out as trio-websocket offers it: `await send_message()` for each subscriber, in a loop.

The library serves nothing but WebSockets, so publications are posted to a second port. Checks nothing, and
is no server for anybody else. Prints its two ports and runs until it is ended.
"""

import sys

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from tests.bench.peers.dialog import answer_to, push_of

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n" + b'{"result":{}}'


class _Server:
    def __init__(self) -> None:
        self._subscribers: dict[WebSocketConnection, None] = {}

    async def serve_client(self, request: WebSocketRequest) -> None:
        websocket = await request.accept()
        try:
            while True:
                await websocket.send_message(answer_to(await websocket.get_message()))
                self._subscribers[websocket] = None
        except ConnectionClosed:
            self._subscribers.pop(websocket, None)

    async def serve_publisher(self, stream: trio.SocketStream) -> None:
        received = b""
        async for data in stream:
            received += data
            while (end := _end_of_request(received)) is not None:
                await self._publish(push_of(received[received.index(b"\r\n\r\n") + 4 : end]))
                received = received[end:]
                await stream.send_all(_OK)

    async def _publish(self, push: str) -> None:
        for websocket in list(self._subscribers):
            try:
                await websocket.send_message(push)
            except ConnectionClosed:
                self._subscribers.pop(websocket, None)


def _end_of_request(received: bytes) -> int | None:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return len(head) + 4 + length if len(body) >= length else None


async def _main() -> None:
    server = _Server()
    async with trio.open_nursery() as nursery:
        # A large backlog, as the others have: all clients come at once.
        sockets = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
        nursery.start_soon(trio.serve_listeners, server.serve_publisher, sockets)
        websockets = await nursery.start(serve_websocket, server.serve_client, "127.0.0.1", 0, None)
        sys.stdout.write(f"{websockets.port} {sockets[0].socket.getsockname()[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(_main)
