"""Stands in for grpc: a call's context whose client is the test."""

import asyncio
from typing import Any

import grpc

from tests.patience import PATIENCE_S


class Aborted(grpc.aio.BaseError):
    """What grpc raises in a handler whose call was ended with a status."""


class FakeContext:
    """A call.

    Args:
        **metadata: of the call.

    Attributes:
        written: what the handler wrote.
        status: how it ended the call, None if it did not.
        blocked: set to take no message, as a client's closed window does.
    """

    def __init__(self, **metadata: str) -> None:
        self._metadata = tuple(metadata.items())
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._asked = asyncio.Semaphore(0)
        self.common_name = ""
        self.written: list[bytes] = []
        self.news = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.status: tuple[str, str, dict[str, str]] | None = None

    def invocation_metadata(self) -> Any:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_common_name": [self.common_name.encode()]} if self.common_name else {}

    def send(self, message: Any) -> None:
        """The client sends a message, or grpc.aio.EOF."""
        self._sent.put_nowait(message)

    async def read(self) -> Any:
        self._asked.release()
        return await self._sent.get()

    async def asked_for(self, count: int) -> None:
        """Wait until the handler has asked for so many messages."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(count):
                await self._asked.acquire()

    async def write(self, message: bytes) -> None:
        await self.open.wait()
        self.written.append(message)
        self.news.set()

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> None:
        self.status = (code.name, details, dict(trailing))
        raise Aborted

    async def take(self, count: int) -> list[bytes]:
        """Wait until so many messages were written, and take them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.written) < count:
                self.news.clear()
                await self.news.wait()
        taken, self.written = self.written[:count], self.written[count:]
        return taken
