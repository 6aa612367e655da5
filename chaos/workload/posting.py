"""Requests to `/emulation`, beside the streams of clients: at any node, until one takes it."""

import contextlib
import random
import socket
from collections.abc import Callable, Sequence

from chaos.workload.crowd import READ, WRITE, Crowd
from chaos.workload.http import BadAnswer, answer_head, request
from chaos.workload.publisher import Address

_ANSWER_MAX_S = 1.0
_TRIES_MAX = 3
_READ_BYTES = 4096
_TAKEN = 204
_UNKNOWN = 404


class Post:
    """One request; a Member of the crowd. It lives until a node has answered or all hope is gone.

    A node that does not answer is left for another, as what is in front of nodes does; the frame may then
    arrive twice, and a command that comes twice is answered twice and heard once.

    Args:
        crowd: serves its sockets.
        nodes: where it may go.
        content_type: of the body.
        body: what it carries.
        chance: which node.
        failed: told once, if no node took it, why.
    """

    __slots__ = ("_body", "_content_type", "_crowd", "_failed", "_left", "_received", "_sock", "_unsent")

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
                if not self._unsent:
                    self._crowd.change(sock.fileno(), READ)
            if events & ~WRITE:
                data = sock.recv(_READ_BYTES)
                if not data:
                    self._not_taken("end of stream")
                    return
                self._received += data
                answer = answer_head(self._received)
                if answer is not None:
                    self._answered(answer.status)
        except BlockingIOError:
            return
        except (OSError, BadAnswer) as error:
            self._not_taken(str(error))

    def _answered(self, status: int) -> None:
        if status == _TAKEN:
            self._close()
        elif status == _UNKNOWN:
            self._left.clear()  # no other node will know the session either
            self._not_taken(f"HTTP {status}")
        else:
            self._not_taken(f"HTTP {status}")

    def _not_taken(self, reason: str) -> None:
        self._close()
        if self._left:
            self._try()
        else:
            self._failed(reason)

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._crowd.forget(sock.fileno())
            with contextlib.suppress(OSError):
                sock.close()
