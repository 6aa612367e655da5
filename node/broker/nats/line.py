"""A plain TCP connection to NATS, read and written with as few turns of the loop as there can be.

trio's own stream tries to read before it waits, which finds nothing here, since each answer is awaited, and
gives the loop a turn after each call that needed no waiting. Who uses this one waits somewhere else.
"""

import os

import trio


class Line:
    """The two calls of a stream that a connection needs.

    Args:
        stream: whose socket it is; still closes it, when nobody reads or writes any more.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._socket = stream.socket
        self._fd = stream.socket.fileno()

    async def receive_some(self, bytes_max: int) -> bytes:
        """What came, after waiting for it, so always a checkpoint; b"" at the end.

        Raises:
            trio.BrokenResourceError: the connection broke.
        """
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return os.read(self._fd, bytes_max)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes) -> None:
        """Send; a checkpoint only where the kernel does not take all of it at once.

        Cancelled, an unknown part of it was sent.

        Raises:
            trio.BrokenResourceError: the connection broke.
        """
        left = memoryview(data)
        while True:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError from error
            if not left:
                return
            await trio.lowlevel.wait_writable(self._socket)


def line_of(stream: trio.abc.Stream) -> Line | trio.abc.Stream:
    """The shortest way over a stream: itself, where it is more than a TCP connection (TLS)."""
    return Line(stream) if isinstance(stream, trio.SocketStream) else stream
