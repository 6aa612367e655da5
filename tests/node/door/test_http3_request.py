"""A request over HTTP/3 as ASGI has it."""

from collections.abc import Callable

import pytest
import trio

from node.door.asgi_request import head_of
from node.door.http3_request import (
    UNACKNOWLEDGED_BYTES_MAX,
    Fields,
    MalformedRequest,
    Request,
    check_size,
)

HEAD: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/b?c=d")]


class FakeWay:
    """A connection whose client takes nothing until it is told to."""

    def __init__(self) -> None:
        self.moved = trio.lowlevel.ParkingLot()
        self.sent: list[object] = []
        self.waiting = 0
        self.cancelled = self.overloaded = False

    def unacknowledged(self, stream_id: int) -> int:
        return self.waiting

    def delivered(self, stream_id: int) -> bool:
        return not self.waiting

    def send_fields(self, stream_id: int, fields: Fields) -> None:
        self.sent.append([field for field in fields if field[0] != b"date"])

    def send_data(self, stream_id: int, data: bytes, *, last: bool) -> None:
        self.sent.append((data, last))
        self.waiting += len(data)

    def cancel(self, stream_id: int) -> None:
        self.cancelled = True

    def overload(self) -> None:
        self.overloaded = True

    def take(self) -> None:
        """The client takes all it was sent."""
        self.waiting = 0
        self.moved.unpark_all()


@pytest.fixture
def way() -> FakeWay:
    """A connection."""
    return FakeWay()


@pytest.fixture
def make(way: FakeWay) -> Callable[..., Request]:
    """Makes requests of header fields."""
    return lambda fields=HEAD, silent_max_s=60.0: Request(0, fields, ("192.0.2.1", 9), way, silent_max_s)


def start(*fields: tuple[bytes, bytes], status: int = 200) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(data: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_the_head_is_read_by_the_doors_rules(make: Callable[..., Request]) -> None:
    """The authority is the host, whatever else is said; cookies are one field."""
    more = [(b"host", b"other"), (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")]
    head = head_of(make([*HEAD, *more]).scope)
    assert (head.method, head.path, head.query("c")) == ("GET", "/b", "d")
    assert head.headers == {"host": "a", "x": "y", "cookie": "a=1; b=2"}


@pytest.mark.parametrize("name", [b":method", b":authority", b":path"])
def test_a_head_without_its_parts_is_none(make: Callable[..., Request], name: bytes) -> None:
    """It has to say what, where and of whom."""
    with pytest.raises(MalformedRequest):
        make([field for field in HEAD if field[0] != name])


def test_a_head_has_a_size() -> None:
    """Counted without compression."""
    check_size(HEAD, 100)
    with pytest.raises(MalformedRequest, match="100 bytes"):
        check_size([*HEAD, (b"x", bytes(100))], 100)


async def test_a_body_comes_as_it_arrives_and_ends(make: Callable[..., Request]) -> None:
    """What came together is given together; after the end of the body comes the client's."""
    request = make()
    request.put(b"a", last=False)
    request.put(b"b", last=False)
    assert await request.receive() == {"type": "http.request", "body": b"ab", "more_body": True}
    request.put(b"", last=True)
    assert await request.receive() == {"type": "http.request", "body": b"", "more_body": False}
    request.lose()
    assert await request.receive() == {"type": "http.disconnect"}


async def test_a_body_that_nobody_reads_is_not_kept(make: Callable[..., Request], way: FakeWay) -> None:
    """More than a megabyte of it ends the connection."""
    request = make()
    for _ in range(20):
        request.put(bytes(60_000), last=False)
    assert way.overloaded


async def test_a_response_waits_for_its_client(
    make: Callable[..., Request], way: FakeWay, autojump_clock: trio.testing.MockClock
) -> None:
    """With each part once too much was not taken, and with its end until all of it was."""
    request = make()
    await request.send(start((b"x", b"y")))
    await request.send(body(bytes(UNACKNOWLEDGED_BYTES_MAX), more=True))
    with trio.move_on_after(1) as waiting:
        await request.send(body(b"a", more=True))
    assert waiting.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request.send, body(b"b", more=False))
        await trio.sleep(1)
        assert not request.gone
        way.take()
    assert request.gone
    assert not way.cancelled
    assert way.sent[0] == [(b":status", b"200"), (b"x", b"y")]
    assert way.sent[-1] == (b"b", True)
    assert await request.receive() == {"type": "http.disconnect"}


async def test_a_client_that_takes_nothing_loses_the_stream(
    make: Callable[..., Request], way: FakeWay, autojump_clock: trio.testing.MockClock
) -> None:
    """After a while; what is sent afterwards is dropped."""
    request = make(silent_max_s=5.0)
    await request.send(start())
    await request.send(body(bytes(UNACKNOWLEDGED_BYTES_MAX + 1), more=True))
    assert way.cancelled
    assert request.gone
    await request.send(body(b"more", more=False))
    assert len(way.sent) == 2


async def test_a_client_that_reads_slowly_keeps_the_stream(
    make: Callable[..., Request], way: FakeWay, autojump_clock: trio.testing.MockClock
) -> None:
    """However long a response takes, if only some of it is taken again and again."""
    request = make(silent_max_s=5.0)
    await request.send(start())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request.send, body(bytes(10), more=False))
        for _ in range(10):
            await trio.sleep(3.0)
            assert not way.cancelled
            way.waiting -= 1
            way.moved.unpark_all()
    assert not way.cancelled


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_answers_without_a_body(
    make: Callable[..., Request], way: FakeWay, method: bytes, status: int
) -> None:
    """None is sent where there must be none (RFC 9110, section 6.4.1)."""
    request = make([(b":method", method), *HEAD[1:]])
    await request.send(start(status=status))
    await request.send(body(b"content", more=False))
    assert way.sent[-1] == (b"", True)


async def test_who_aborts_wakes_who_waits(make: Callable[..., Request], way: FakeWay) -> None:
    """A response that waits for its client goes nowhere any more, and the stream is broken off."""
    request = make()
    await request.send(start())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request.send, body(bytes(UNACKNOWLEDGED_BYTES_MAX + 1), more=True))
        await trio.testing.wait_all_tasks_blocked()
        request.scope["state"]["abort"]()
    assert way.cancelled
