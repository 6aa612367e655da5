"""The builders: what they make is one command, whatever they are given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.broker.nats import commands
from node.broker.nats.protocol import Msg, Parser

subjects = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=40)


def as_delivered(command: bytes, subject: str) -> bytes:
    """A PUB or HPUB as the server passes it on: with a sid."""
    head, rest = command.split(b"PUB " + subject.encode(), 1)
    return head + b"MSG " + subject.encode() + b" 9" + rest


@given(subjects, st.just("") | subjects, st.binary(max_size=100))
def test_publish_round_trip(subject: str, reply: str, payload: bytes) -> None:
    """What PUB and HPUB carry is what the parser finds when a server passes it on."""
    headers = b"NATS/1.0\r\nTag: 1\r\n\r\n"
    plain = as_delivered(commands.pub(subject, payload, reply), subject)
    assert Parser().receive(plain) == [Msg(subject.encode(), reply.encode(), b"", payload, b"9")]
    rich = as_delivered(commands.hpub(subject, headers, payload, reply), subject)
    assert Parser().receive(rich) == [Msg(subject.encode(), reply.encode(), headers, payload, b"9")]


@pytest.mark.parametrize("subject", ["", " ", "a b", "a\r\nPUB b 0", "a\n", "\ta", "a\x0b"])
def test_a_subject_cannot_smuggle_a_command(subject: str) -> None:
    """White space in a subject would start another word or command: it is refused everywhere."""
    with pytest.raises(ValueError, match="not a subject"):
        commands.sub(subject, b"1")
    with pytest.raises(ValueError, match="not a subject"):
        commands.pub(subject, b"")
    with pytest.raises(ValueError, match="not a subject"):
        commands.hpub(subject, b"", b"")
    if subject:
        with pytest.raises(ValueError, match="not a subject"):
            commands.pub("a", b"", subject)


def test_the_other_commands() -> None:
    """SUB, UNSUB, CONNECT, PING and PONG are as the protocol has them."""
    assert commands.sub("a.*", b"12") == b"SUB a.* 12\r\n"
    assert commands.unsub(b"12") == b"UNSUB 12\r\n"
    assert commands.connect({"verbose": False, "user": 'a"\r\n'}) == (
        b'CONNECT {"verbose":false,"user":"a\\"\\r\\n"}\r\n'
    )
    assert (commands.PING, commands.PONG) == (b"PING\r\n", b"PONG\r\n")
