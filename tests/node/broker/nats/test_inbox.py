"""Open requests: which answer belongs to which, and how each ends."""

import pytest
import trio
import trio.testing

from node.broker.interface import BrokerUnavailable
from node.broker.nats.inbox import Call, Inbox
from node.broker.nats.protocol import Msg


def answer(call: Call, payload: bytes = b"", headers: bytes = b"") -> Msg:
    return Msg(call.reply.encode(), b"", headers, payload)


async def test_each_answer_finds_its_call(autojump_clock: trio.testing.MockClock) -> None:
    """Answers are sorted by their subject and kept up to the last one, which ends the wait."""
    inbox = Inbox("_INBOX.x")
    assert inbox.subject == "_INBOX.x.*"
    one = inbox.open("a", lambda _: True, 1)
    many = inbox.open("b", lambda m: not m.payload, 1)
    inbox.deliver(answer(many, b"1"))
    inbox.deliver(answer(one, b"2"))
    inbox.deliver(answer(many))
    inbox.deliver(answer(many, b"too late"))
    assert [m.payload for m in await many.wait()] == [b"1", b""]
    assert [m.payload for m in await one.wait()] == [b"2"]
    assert inbox.late == 1


async def test_an_answer_after_its_call_is_counted(autojump_clock: trio.testing.MockClock) -> None:
    """A late answer harms nobody and shows in the counter."""
    inbox = Inbox("_INBOX.x")
    call = inbox.open("a", lambda _: True, 1)
    inbox.close(call)
    inbox.deliver(answer(call))
    assert inbox.late == 1


async def test_how_a_call_fails(autojump_clock: trio.testing.MockClock) -> None:
    """No listener and a broken connection each end the wait with their reason."""
    inbox = Inbox("_INBOX.x")
    call = inbox.open("a", lambda _: True, 1)
    inbox.deliver(answer(call, headers=b"NATS/1.0 503\r\n\r\n"))
    with pytest.raises(BrokerUnavailable, match="nobody answers requests to a"):
        await call.wait()
    call = inbox.open("a", lambda _: False, 1)
    inbox.fail_all("the connection broke")
    with pytest.raises(BrokerUnavailable, match="the connection broke"):
        await call.wait()


async def test_a_call_ends_soon_after_its_deadline(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Whoever asked is told a moment after its time; no other call ends with it."""
    inbox = Inbox("_INBOX.x")
    nursery.start_soon(inbox.watch)
    began = trio.current_time()
    other, answered = inbox.open("b", lambda _: True, 9), inbox.open("c", lambda _: True, 1)
    inbox.deliver(answer(answered))
    call = inbox.open("a", lambda m: not m.payload, 1)
    inbox.deliver(answer(call, b"1"))
    with pytest.raises(BrokerUnavailable, match=r"a: no last answer within 1 s \(1 before it\)"):
        await call.wait()
    assert 1 <= trio.current_time() - began < 1.2
    assert not other.ended
    assert len(await answered.wait()) == 1


async def test_a_503_with_a_body_is_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Only the server's bodiless 503 means that nobody listens; other statuses are the caller's business."""
    inbox = Inbox("_INBOX.x")
    call = inbox.open("a", lambda _: True, 1)
    inbox.deliver(answer(call, headers=b"NATS/1.0 404 Message Not Found\r\n\r\n"))
    assert (await call.wait())[0].status == 404
    call = inbox.open("a", lambda _: True, 1)
    inbox.deliver(answer(call, b"busy", b"NATS/1.0 503\r\n\r\n"))
    assert (await call.wait())[0].payload == b"busy"
