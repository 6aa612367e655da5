"""Tests of `chaos.workload.publisher`: what it writes of a publication's fate, with servers that fail."""

import random
from pathlib import Path

import pytest
import trio

from chaos.generator import Publication
from chaos.history import Published
from chaos.history_file import HistoryWriter, read
from chaos.workload.delays import Delays
from chaos.workload.publisher import Address, Head, Publisher
from tests.chaos.workload.fake_nodes import Serve, accepted, answer, listen, request
from tests.patience import PATIENCE_S

ONE = Publication(0.0, "publisher-0", "publisher-0-1", "history:1", 0, 100)
PLAIN = Publication(0.0, "publisher-0", "publisher-0-1", "plain:1", 0, 100)


async def outcomes(tmp_path: Path, nodes: list[Address], *publications: Publication) -> list[Published]:
    """Publish, and read what was written."""
    path = tmp_path / "history.jsonl"
    with HistoryWriter(path) as history:
        publisher = Publisher(nodes, history, "key", "plain", random.Random(1), Delays())
        with trio.fail_after(PATIENCE_S):
            for publication in publications:
                await publisher.publish(publication)
        publisher.close()
        history.close(0.0)
    return [record for record in read(path) if isinstance(record, Published)]


def answering(*answers: bytes, seen: list[dict[str, object]]) -> Serve:
    """Answers in turn; an empty one closes the connection instead."""
    left = list(answers)

    async def serve(stream: trio.SocketStream) -> None:
        while left:
            _, body = await request(stream)
            seen.append(body)
            if not (data := left.pop(0)):
                return
            await stream.send_all(data)

    return serve


async def test_an_accepted_publication_has_its_place(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Invoke is written first, then ok with offset and epoch; the connection is used again."""
    seen: list[dict[str, object]] = []
    node = await listen(nursery, "node-1", answering(accepted(7), accepted(8), seen=seen))
    first, ended, *_ = records = await outcomes(tmp_path, [node], ONE, ONE)
    assert (first.phase, first.id, first.channel, first.node) == ("invoke", ONE.id, "history:1", "node-1")
    assert (ended.phase, ended.offset, ended.epoch) == ("ok", 7, "e")
    assert [record.phase for record in records] == ["invoke", "ok", "invoke", "ok"]
    assert seen[0]["idempotency_key"] == ONE.id
    assert abs(len(str(seen[0]["data"])) - ONE.payload_bytes) < 5


@pytest.mark.parametrize(
    "failure", [b"", answer({"error": {"code": 100, "message": "x"}}), answer({}, "502 Bad Gateway")]
)
async def test_what_is_not_known_is_tried_again(
    tmp_path: Path, nursery: trio.Nursery, failure: bytes
) -> None:
    """No answer, or one that leaves it open: the same publication under the same key, until it is known."""
    seen: list[dict[str, object]] = []
    node = await listen(nursery, "node-1", answering(failure, accepted(7), seen=seen))
    records = await outcomes(tmp_path, [node], ONE)
    assert [record.phase for record in records] == ["invoke", "ok"]
    assert seen[0] == seen[1]


async def test_a_plain_publication_is_never_tried_twice(tmp_path: Path, nursery: trio.Nursery) -> None:
    """There the key has no effect, and a second try could be a duplicate: it stays unknown."""
    seen: list[dict[str, object]] = []
    node = await listen(nursery, "node-1", answering(b"", accepted(7), seen=seen))
    records = await outcomes(tmp_path, [node], PLAIN)
    assert [record.phase for record in records] == ["invoke", "unknown"]
    assert len(seen) == 1
    assert "idempotency_key" not in seen[0]


async def test_a_connection_that_the_node_closes_is_not_used_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """A node that drains says `Connection: close`: what was sent there all the same would stay unknown."""
    last = accepted(7).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    left = [last, accepted(8)]

    async def serve(stream: trio.SocketStream) -> None:
        await request(stream)
        await stream.send_all(left.pop(0))

    node = await listen(nursery, "node-1", serve)
    records = await outcomes(tmp_path, [node], PLAIN, PLAIN)
    assert [record.phase for record in records] == ["invoke", "ok", "invoke", "ok"]


async def test_a_refused_publication_has_failed(tmp_path: Path, nursery: trio.Nursery) -> None:
    """An error that says that it was not stored is the last word."""
    refusal = answer({"error": {"code": 102, "message": "unknown channel"}})
    node = await listen(nursery, "node-1", answering(refusal, seen=[]))
    records = await outcomes(tmp_path, [node], ONE)
    assert (records[-1].phase, records[-1].reason) == ("fail", "102: unknown channel")


async def test_another_node_takes_what_a_dead_one_cannot(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A refused connection means that nothing was sent: another node is asked, this one left alone."""
    dead = Address("node-1", "127.0.0.1", 1)
    node = await listen(nursery, "node-2", answering(accepted(7), accepted(8), seen=[]))
    records = await outcomes(tmp_path, [dead, node], ONE, PLAIN)
    assert [(record.phase, record.node) for record in records] == [
        ("invoke", "node-1"),
        ("ok", "node-2"),
        ("invoke", "node-2"),
        ("ok", "node-2"),
    ]


def test_the_later_of_two_is_the_head() -> None:
    """By its offset in one epoch, where answers may overtake each other; by its time after a loss of data."""
    old = Head("a", "e", 500, sent=2.0)
    assert Head("b", "e", 501, sent=1.0).follows(old)
    assert not Head("c", "e", 499, sent=3.0).follows(old)
    assert Head("d", "f", 3, sent=3.0).follows(old)
    assert not old.follows(Head("d", "f", 3, sent=3.0))
