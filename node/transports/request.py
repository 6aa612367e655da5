"""What transports need of the door: a request's head, and the connection it came on.

The door hands requests to transports, so these do not import it; here are the shapes that its `Head` and
`Connection` have.
"""

import socket
from typing import Protocol


class Head(Protocol):
    """A request's line and headers, checked; see door.head."""

    @property
    def method(self) -> str:
        """As sent."""

    @property
    def path(self) -> str:
        """Decoded, without the query."""

    @property
    def content_length(self) -> int | None:
        """Bytes of the body that follows."""

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to send another request."""

    def header(self, name: str) -> str:
        """A header's value by its name in lower case, "" if absent; several are joined by commas."""

    def query(self, name: str) -> str:
        """A query parameter's first value, "" if absent."""

    def query_all(self, name: str) -> list[str]:
        """All values of a query parameter, in the order they were sent."""


class Connection(Protocol):
    """One accepted TCP connection; see door.connection."""

    @property
    def sock(self) -> socket.socket:
        """Non-blocking; the door closes it."""

    @property
    def received(self) -> bytearray:
        """Read from the socket and not used yet."""

    async def receive(self) -> bytes:
        """What came; b"" at the end of the stream or when the connection broke."""

    async def fill(self) -> bool:
        """Wait for more bytes and put them behind `received`; False at the end of the stream."""

    async def send(self, data: bytes) -> bool:
        """Send all of it; False if the connection broke."""

    async def invite_body(self, head: Head) -> None:
        """Ask for the request's body where the client waits for that."""

    async def answer(
        self, head: Head, status: int, text: str = "", *, fields: str = "", close: bool = False
    ) -> bool:
        """Answer the request shortly; returns whether the connection may carry another one."""


def bearer_token(head: Head) -> str:
    """The connection token of a client without an SDK: `?token=` or `Authorization: Bearer`, "" for none."""
    scheme, _, credentials = head.header("authorization").partition(" ")
    return head.query("token") or (credentials.strip() if scheme.lower() == "bearer" else "")
