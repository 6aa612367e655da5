"""TLS in the shape of a socket: what it counts is out, nothing is lost, doubled or kept without limit."""

import random
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio

from node.door.tls import open_context
from node.door.tls_socket import TlsSocket
from node.outbox import Outbox, Writers
from tests.node.door.authority import Authority
from tests.patience import PATIENCE_S


class Peer:
    """The client's end, which reads when it is told to."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def shake_hands(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()
        return True

    def flush(self) -> None:
        if self._outgoing.pending:
            self.sock.sendall(self._outgoing.read())

    def write(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    def take(self, size: int = 65_536) -> None:
        """Read ciphertext."""
        self._incoming.write(self.sock.recv(size))

    def read(self, size: int = 65_536) -> bytes:
        """All that can be had now."""
        self.sock.setblocking(False)
        data = b""
        while True:
            try:
                data += self.tls.read()
            except ssl.SSLWantReadError:
                try:
                    self.take(size)
                except BlockingIOError:
                    return data


class Pair:
    """Both ends, agreed."""

    def __init__(self, authority: Authority, buffer_bytes: int = 0) -> None:
        near, far = socket.socketpair()
        if buffer_bytes:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.client = Peer(far, authority.client_context())
        self.client.shake_hands()
        self.server = TlsSocket(near, open_context(authority.options), b"")
        assert self.server.feed()
        while not self.server.shake_hands():
            self.server.flush()
            self.client.take()
            self.client.shake_hands()
            assert self.server.feed()
        self.server.flush()

    def close(self) -> None:
        self.server.close()
        self.client.sock.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom both ends trust."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def pair(authority: Authority) -> Iterator[Pair]:
    """Two ends of one connection."""
    pair = Pair(authority)
    yield pair
    pair.close()


@pytest.fixture
def narrow(authority: Authority) -> Iterator[Pair]:
    """Two ends with little room between them."""
    pair = Pair(authority, buffer_bytes=8_192)
    yield pair
    pair.close()


def test_what_is_sent_arrives(pair: Pair) -> None:
    """Both ways, whatever the size; what was agreed on is HTTP/1.1."""
    assert pair.server.send(b"one") == 3
    assert pair.server.sendmsg([b"two", b"", b"three"]) == 8
    assert pair.client.read() == b"onetwothree"
    pair.client.write(b"back")
    assert pair.server.recv() == b"back"
    assert pair.server.protocol == "http/1.1"
    assert pair.server.send(b"") == 0


def test_one_read_leaves_nothing_behind(pair: Pair) -> None:
    """All records of a read come at once: waiting for the socket would not see those that stay."""
    for number in range(50):
        pair.client.write(b"%02d" % number)
    assert pair.server.recv() == b"".join(b"%02d" % number for number in range(50))
    with pytest.raises(BlockingIOError):
        pair.server.recv()


def test_half_a_record_is_nothing_yet(pair: Pair) -> None:
    """The first half blocks, the second brings the whole."""
    pair.client.tls.write(b"whole")
    ciphertext = pair.client._outgoing.read()
    pair.client.sock.sendall(ciphertext[:10])
    with pytest.raises(BlockingIOError):
        pair.server.recv()
    pair.client.sock.sendall(ciphertext[10:])
    assert pair.server.recv() == b"whole"


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_reader_gets_every_byte_once(narrow: Pair, seed: int) -> None:
    """However the pieces are cut and whatever blocks: in order, none lost, none twice."""
    chance = random.Random(seed)
    data = chance.randbytes(1_000_000)
    pieces: deque[bytes] = deque()
    cut, got = 0, b""
    while cut < len(data) or pieces:
        while cut < len(data) and len(pieces) < 4:
            size = chance.choice((1, 200, 5_000, 40_000))
            pieces.append(data[cut : cut + size])
            cut += size
        sent = 0
        with suppress(BlockingIOError):
            sent = narrow.server.sendmsg(pieces)
        while sent and sent >= len(pieces[0]):
            sent -= len(pieces.popleft())
        if pieces:
            pieces[0] = pieces[0][sent:]
        if chance.random() < 0.5:
            got += narrow.client.read(chance.choice((100, 3_000, 65_536)))
    assert got + narrow.client.read() == data


def test_little_is_kept_for_who_does_not_read(narrow: Pair) -> None:
    """One record at most is encrypted ahead, however much is offered."""
    data = bytes(10_000_000)
    sent = narrow.server.send(data)
    with pytest.raises(BlockingIOError):
        narrow.server.send(data[sent:])
    assert 0 < len(narrow.server._unsent) < 17_000
    assert narrow.server._outgoing.pending == 0


def test_the_client_is_told_of_the_end(pair: Pair) -> None:
    """Closing is said in TLS, so that nobody can cut the stream unseen; what came before arrives."""
    pair.server.send(b"last")
    pair.server.shutdown(socket.SHUT_WR)
    pair.server.shutdown(socket.SHUT_WR)
    pair.client.take()
    assert pair.client.tls.read() == b"last"
    assert pair.client.tls.read() == b""
    pair.client.write(b"ignored")
    with pytest.raises(BlockingIOError):
        pair.server.recv()
    pair.client.sock.shutdown(socket.SHUT_WR)
    assert pair.server.recv() == b""


def test_the_clients_end_is_the_end(pair: Pair) -> None:
    """Said in TLS or by the connection alone."""
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.tls.unwrap()
    pair.client.flush()
    assert pair.server.recv() == b""


def test_garbage_breaks_the_connection(pair: Pair) -> None:
    """What was changed on the way is not passed on, and the client is told (an alert)."""
    pair.client.tls.write(b"genuine")
    ciphertext = bytearray(pair.client._outgoing.read())
    ciphertext[-1] ^= 1
    pair.client.sock.sendall(ciphertext)
    with pytest.raises(ssl.SSLError):
        pair.server.recv()
    pair.client.take()
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        pair.client.tls.read()


class Owner:
    """Of an outbox."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.flushed = trio.Event()
        self.outbox: Outbox | None = None

    def outbox_overflowed(self) -> None:
        self.told.append("overflowed")
        assert self.outbox is not None
        self.outbox.finish(b"goodbye")

    def outbox_broken(self, error: Exception) -> None:
        self.told.append(type(error).__name__)

    def outbox_flushed(self) -> None:
        self.flushed.set()


async def test_an_outbox_over_it_keeps_frames_whole(narrow: Pair) -> None:
    """A client that is too slow gets whole frames and then the goodbye, as on a plain socket."""
    owner = Owner()
    async with trio.open_nursery() as nursery:
        outbox = owner.outbox = Outbox(narrow.server, Writers(100_000, nursery), owner)
        written = 0
        while not owner.told:
            outbox.write(b"[%05d%s]" % (written, b"." * 2_000))
            written += 1
            assert outbox.bytes_waiting < 110_000
        got = b""
        with trio.fail_after(PATIENCE_S):
            while not owner.flushed.is_set():
                got += narrow.client.read(3_000)
                await trio.lowlevel.checkpoint()
        got += narrow.client.read()
        nursery.cancel_scope.cancel()
    assert owner.told == ["overflowed"]
    frames, goodbye = got.split(b"]")[:-1], got.split(b"]")[-1]
    assert goodbye == b"goodbye"
    assert [int(frame[1:6]) for frame in frames] == list(range(len(frames)))
    assert all(len(frame) == 2_006 for frame in frames)
    assert len(frames) < written


async def test_an_outbox_over_it_sends_everything_to_a_slow_reader(narrow: Pair) -> None:
    """What waits goes out in order, up to the goodbye."""
    owner = Owner()
    async with trio.open_nursery() as nursery:
        outbox = Outbox(narrow.server, Writers(3_000_000, nursery), owner)
        frames = [b"%d," % number * (number % 700) for number in range(1_500)]
        for frame in frames:
            outbox.write(frame)
        outbox.finish(b"goodbye")
        got = b""
        with trio.fail_after(PATIENCE_S):
            while not owner.flushed.is_set():
                got += narrow.client.read(5_000)
                await trio.lowlevel.checkpoint()
        got += narrow.client.read()
    assert got == b"".join(frames) + b"goodbye"
