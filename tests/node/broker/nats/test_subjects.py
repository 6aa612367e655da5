"""The subject scheme: readable, reversible, and never the same for two channels."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.broker.interface import HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.broker.nats.subjects import Partition, Subjects, escape

HISTORY = HistoryOptions(10, 60, 300)
NAMESPACES = Namespaces(
    {"": NamespaceStore(HISTORY), "chat": NamespaceStore(HISTORY, partitions=8), "a.b": NamespaceStore()},
    private_prefix="$",
)
SUBJECTS = Subjects("b", NAMESPACES)
NAMES = st.text(min_size=1, max_size=40)


@given(NAMES)
def test_escaping_is_reversible(name: str) -> None:
    """Every name comes back from its token, which is legal anywhere in a subject."""
    token = escape(name)
    assert unquote(token, errors="strict") == name
    assert re.fullmatch(r"[!-~]+", token)
    assert not set(token) & set(".*> ")


@given(NAMES, NAMES)
def test_escaping_is_injective(one: str, other: str) -> None:
    """Different names never share a token."""
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("room_1-a", "room_1-a"),
        ("chat:a#1,2", "chat:a#1,2"),
        ("a.b", "a%2Eb"),
        ("a%2Eb", "a%252Eb"),
        ("*>", "%2A%3E"),
        ("a b\t\r\n", "a%20b%09%0D%0A"),
        ("\x7f", "%7F"),
        ("ж", "%D0%B6"),
    ],
)
def test_documented_tokens(name: str, token: str) -> None:
    """Publishers that write subjects themselves find these."""
    assert escape(name) == token


def test_an_empty_name_has_no_subject() -> None:
    """There is no token of nothing."""
    with pytest.raises(ValueError, match="empty"):
        escape("")


def test_the_documented_scheme() -> None:
    """Subjects and stream names are those publishers and operators are told."""
    assert SUBJECTS.store("news.eu") == "b.store._.0.news%2Eeu"
    assert SUBJECTS.live("$chat:x") == f"b.live.chat.{SUBJECTS.partition_of('$chat:x').number}.$chat:x"
    assert SUBJECTS.live("unknown:x") == "b.live.unknown.0.unknown:x"
    assert SUBJECTS.marker(Partition("chat", 3)) == "b.marker.chat.3"
    assert SUBJECTS.store_all(Partition("chat", 3)) == "b.store.chat.3.*"
    assert SUBJECTS.live_template(Partition("", 0)) == "b.live._.0.{{wildcard(1)}}"
    assert SUBJECTS.node("info") == "b.node.info"
    assert SUBJECTS.stream(Partition("", 0)) == "b-_-0"
    assert SUBJECTS.stream(Partition("a.b", 0)) == "b-a%2Eb-0"
    assert SUBJECTS.stream(Partition("a/b", 0)) == "b-a%2Fb-0"


def test_partition_is_crc32_modulo_partitions() -> None:
    """The partition of a channel is the one a publisher in another language computes."""
    assert SUBJECTS.partition_of("chat:123456789") == Partition("chat", 0xDAD7E469 % 8)
    assert {SUBJECTS.partition_of(f"chat:{number}").number for number in range(200)} == set(range(8))


@pytest.mark.parametrize("prefix", ["", "a.b", "a b", "a>", "a/b", "ж"])
def test_the_prefix_is_one_token(prefix: str) -> None:
    """A prefix that cannot begin a subject and name a stream is refused."""
    with pytest.raises(ValueError, match=r"prefix|empty"):
        Subjects(prefix, NAMESPACES)
