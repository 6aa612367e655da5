"""The load generator notices what each client of a server misses, and what it has twice."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.frames import MARK, OK, Target
from tests.bench.load import Load, Plan

_CLIENTS = 2
_PLAN = Plan(200.0, 10)


@contextmanager
def a_server(copies: dict[int, int], *, late: int = 0) -> Iterator[Target]:
    """A server that sends each publication to the client of a number so many times.

    Args:
        copies: by the number of the client.
        late: so many more of the last one to client 0, after its answer.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            clients = [_joined(listener) for _ in range(_CLIENTS)]
            publisher, _ = listener.accept()
            received = b""
            for number in range(_PLAN.count):
                while received.count(MARK) <= number or not received.endswith(b"}"):
                    received += publisher.recv(65_536)
                event = b"data: {" + received[received.rfind(MARK) :][: len(MARK) + 19] + b'"}\n\n'
                for client, count in copies.items():
                    clients[client].sendall(event * count)
                publisher.sendall(OK + b" OK\r\nContent-Length: 2\r\n\r\n{}")
            clients[0].sendall(event * late)
            for sock in (publisher, *clients):
                sock.recv(1)  # until the other side has closed it
                sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield Target("node", listener.getsockname()[1], "c", "/sse")
        thread.join()


def _joined(listener: socket.socket) -> socket.socket:
    client, _ = listener.accept()
    client.recv(65_536)
    client.sendall(b'HTTP/1.1 200 OK\r\n\r\ndata: {"connect":{}}\n\n')
    return client


@pytest.mark.parametrize(
    ("copies", "late", "came", "uneven"),
    [
        ({0: 1, 1: 1}, 0, 20, 0),
        ({0: 2, 1: 0}, 0, 20, 2),  # the sum of them is right
        ({0: 1, 1: 1}, 1, 21, 1),  # after all that was waited for
    ],
)
def test_each_client_is_to_have_each_publication_once(
    copies: dict[int, int], late: int, came: int, uneven: int
) -> None:
    """What one client misses is not made up for by what another has twice; copies that come late count."""
    load = Load()
    with a_server(copies, late=late) as target:
        load.connect([target], "sse", _CLIENTS)
        report = load.publish_and_receive(target, _PLAN)
        load.disconnect()
    assert (report.came, report.uneven) == (came, uneven)
