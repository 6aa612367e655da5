"""Tests of `chaos.workload.http`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.workload.http import BadAnswer, Body, answer_head, request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_request_says_how_long_its_body_is() -> None:
    """A server knows where a publication ends."""
    assert request("POST", "/api", "h:1", {"A": "b"}, b"{}") == (
        b"POST /api HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_a_head_is_read_when_it_is_whole() -> None:
    """Status and fields are known, and where the body begins; before that, nothing is."""
    head = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\n"
    answer = answer_head(head + b"body")
    assert answer is not None
    assert (answer.status, answer.fields["retry-after"], answer.length) == (503, "3", len(head))
    assert answer_head(head[:-1]) is None


@pytest.mark.parametrize("noise", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 20_000])
def test_what_is_no_answer_is_refused(noise: bytes) -> None:
    """A peer that speaks something else is not waited for."""
    with pytest.raises(BadAnswer):
        answer_head(noise)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 7))
def test_chunks_are_put_together_however_they_are_cut(parts: list[bytes], step: int) -> None:
    """A body in chunks is the same body, wherever the network cut it."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    answer = answer_head(CHUNKED)
    assert answer is not None
    body = Body(answer)
    found = b"".join(body.feed(coded[at : at + step]) for at in range(0, len(coded), step))
    assert found == b"".join(parts)
    assert body.ended


def test_an_unknown_coding_is_refused() -> None:
    """What cannot be read is not taken for something else."""
    answer = answer_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n")
    assert answer is not None
    with pytest.raises(BadAnswer):
        Body(answer)
