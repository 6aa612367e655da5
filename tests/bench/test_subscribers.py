"""The load generator counts right: joined, cut anywhere, and mixed with what is no publication."""

import itertools
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.bench.frames import DIGITS, Target, data_of, is_whole, publish_request, text_frame, times_in
from tests.bench.subscribers import LoadError, Subscribers


@pytest.fixture
def subscribers() -> Iterator[Subscribers]:
    found = Subscribers()
    yield found
    found.close()
    found.epoll.close()


def publication(at: int) -> bytes:
    before, after = data_of(128)
    return b'\x81\x7e\x00\xb0{"push":{"pub":{"data":' + before + b"%019d" % at + after + b"}}}"


def test_data_has_the_size_that_was_asked_for() -> None:
    """Servers are compared with payloads of one length, their times included."""
    before, after = data_of(128)
    assert len(before) + DIGITS + len(after) == 128
    with pytest.raises(ValueError, match="at least"):
        data_of(10)
    start, end = publish_request(Target("node", 1, "c", "/"), 128)
    head, body = start.split(b"\r\n\r\n")
    assert b"Content-Length: %d" % (len(body) + DIGITS + len(end)) in head


def test_an_answer_counts_when_its_body_is_there() -> None:
    """Servers that send head and body one after the other are not taken for faster ones."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    pieces = [head[:20], head, head + b"bod", head + b"body"]
    assert [is_whole(piece) for piece in pieces] == [False, False, False, True]


def test_times_are_read_from_joined_publications() -> None:
    """A frame or a read with several publications counts each of them."""
    assert times_in(publication(5) + b'{"ping":1}\n' + publication(7)) == [5, 7]


@given(st.lists(st.integers(0, 900), max_size=8))
@example([644, 662])  # a short piece without a mark, and the start of one at its end
@settings(deadline=None)
def test_wherever_reads_cut_a_stream_each_publication_counts_once(cuts: list[int]) -> None:
    """TCP has no messages: a mark or a time that is cut in two is still one delivery."""
    subscribers = Subscribers()
    stream = b"".join(map(publication, range(5)))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            subscribers._take(7, stream[start:end], 100)
    assert subscribers.came == 5
    assert list(subscribers.samples) == [100, 99, 98, 97, 96]
    subscribers.epoll.close()


def test_a_closed_connection_is_no_quiet_loss(subscribers: Subscribers) -> None:
    """A server that ends a client during a benchmark ends the benchmark."""
    with pytest.raises(LoadError, match="closed a client after 0 deliveries"):
        subscribers._take(7, b"", 1)


def test_frames_of_clients_are_masked() -> None:
    """Servers must close a connection whose client does not mask: RFC 6455, section 5.1."""
    frame = text_frame("x" * 200)
    assert frame[:2] == b"\x81\xfe"
    assert int.from_bytes(frame[2:4], "big") == 200
    mask, payload = frame[4:8], frame[8:]
    assert bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload)) == b"x" * 200


def test_clients_join_in_steps_and_are_counted(subscribers: Subscribers) -> None:
    """A client has joined when its event stream began; what comes with that counts already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target("node", server.getsockname()[1], "c", "/sse")

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65_536)
                client.sendall(b'HTTP/1.1 200 OK\r\n\r\ndata: {"connect":{}}\n\n' + publication(3) + b"\n\n")
                client.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        subscribers.connect([target], "sse", 1)
        assert len(subscribers) == 1
        while not subscribers.came:
            subscribers.receive(1.0)
        subscribers.close()
        thread.join()
