"""Requests to `/emulation`, beside the streams of clients: at any node, and at most once."""

import contextlib
import random
import socket
from collections.abc import Callable, Sequence

from chaos.workload.crowd import READ, WRITE, Crowd
from chaos.workload.http import BadAnswer, answer_head, request
from chaos.workload.publisher import Address

# The SDKs' time for a command.
_ANSWER_MAX_S = 5.0
_TRIES_MAX = 3
_READ_BYTES = 4096
_TAKEN = 204


class Post:
    """One request; a Member of the crowd. It lives until a node has answered or all hope is gone.

    Where no connection can be made another node is tried, as what is in front of nodes does. A request of
    which something was sent is never repeated, as no SDK does: its frame may have arrived, and a node that
    gets a pong twice ends the session for good.

    Args:
        crowd: serves its sockets.
        nodes: where it may go.
        content_type: of the body.
        body: what it carries.
        chance: which node.
        failed: told once, if it is not known to have been taken, why.
    """

    __slots__ = (
        "_body", "_content_type", "_crowd", "_failed", "_left", "_received", "_sent", "_sock", "_unsent",
    )  # fmt: skip

    def __init__(
        self,
        crowd: Crowd,
        nodes: Sequence[Address],
        content_type: str,
        body: bytes,
        chance: random.Random,
        failed: Callable[[str], None],
    ) -> None:
        self._crowd = crowd
        self._left = chance.sample(nodes, min(_TRIES_MAX, len(nodes)))
        self._content_type = content_type
        self._body = body
        self._failed = failed
        self._sock: socket.socket | None = None
        self._unsent = b""
        self._received = b""
        self._sent = False
        self._try()

    def _try(self) -> None:
        node = self._left.pop()
        sock = self._sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = {"Content-Type": self._content_type, "Connection": "close"}
        self._unsent = request("POST", "/emulation", f"{node.host}:{node.port}", fields, self._body)
        self._received = b""
        sock.connect_ex((node.host, node.port))  # what is wrong shows when it is written to
        self._crowd.watch(sock.fileno(), self, READ | WRITE)
        self._crowd.at(self._crowd.now() + _ANSWER_MAX_S, lambda: self._give_up(sock))

    def _give_up(self, sock: socket.socket) -> None:
        if self._sock is sock:
            self._not_taken("no answer")

    def ready(self, events: int) -> None:
        """See Member."""
        sock = self._sock
        if sock is None:
            return
        try:
            if self._unsent and events & WRITE:
                self._unsent = self._unsent[sock.send(self._unsent) :]
                self._sent = True
                if not self._unsent:
                    self._crowd.change(sock.fileno(), READ)
            if events & ~WRITE:
                data = sock.recv(_READ_BYTES)
                if not data:
                    self._not_taken("end of stream")
                    return
                self._received += data
                answer = answer_head(self._received)
                if answer is not None and answer.status == _TAKEN:
                    self._close()
                elif answer is not None:
                    self._not_taken(f"HTTP {answer.status}")
        except BlockingIOError:
            return
        except (OSError, BadAnswer) as error:
            self._not_taken(str(error))

    def _not_taken(self, reason: str) -> None:
        self._close()
        if self._left and not self._sent:
            self._try()
        else:
            self._failed(reason)

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._crowd.forget(sock.fileno())
            with contextlib.suppress(OSError):
                sock.close()
