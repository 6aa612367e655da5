import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from node.protocol.json_text import NESTING_MAX, fault_of, is_embeddable
from tests.node.protocol import strategies


def _nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[" * (depth % 2) + b"]" * (depth % 2) + b"]}" * (depth // 2)


@given(strategies.payloads)
def test_json_can_be_embedded(payload: Raw) -> None:
    """What a JSON library writes is embeddable."""
    assert is_embeddable(bytes(payload))


_json_like = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "d800", "1", "-", "e", ".", "null", "é", "\n"]
    ),
    max_size=30,
).map("".join)


@given(_json_like.map(str.encode) | st.binary(max_size=20))
def test_what_can_be_embedded_is_json(payload: bytes) -> None:
    """Nothing is embeddable that another parser does not read as one value."""
    if is_embeddable(payload):
        json.loads(payload.decode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"1 2",
        b"1,2",
        b'1},{"a":1',
        b"NaN",
        b"Infinity",
        b"01",
        b"1.",
        b"'a'",
        b'"a',
        b'"\\x"',
        b'"\x01"',
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"\xef\xbb\xbf1",
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00 and more"',
        b'"\\ud800\\u0041 and more"',
    ],
)
def test_what_is_not_json_cannot_be_embedded(payload: bytes) -> None:
    """Near misses of JSON, of UTF-8 and of Unicode are all refused."""
    assert not is_embeddable(payload)


@pytest.mark.parametrize(
    "payload",
    [b"1e999", b"9" * 5000, b'"\\ud83d\\ude00"', b' \r\n{"a" : [ ] }\t', '"é世\U0001f600"'.encode()],
)
def test_unusual_json_is_json(payload: bytes) -> None:
    """The grammar sets no limit to numbers, whitespace or characters."""
    assert is_embeddable(payload)


def test_nesting_has_a_limit() -> None:
    """The limit is exact, whatever stands beside the deepest value, and huge depths are no error."""
    assert is_embeddable(_nested(NESTING_MAX))
    assert not is_embeddable(_nested(NESTING_MAX + 1))
    many = b"[" + b",".join([b'{"a":["]",{}]}'] * 1000) + b"]"
    assert is_embeddable(many)
    assert not is_embeddable(b"[" + many + b"," + _nested(NESTING_MAX) + b"]")
    assert fault_of(b"[" * 100_000 + b"]" * 100_000) == "nests too deeply"
    assert not is_embeddable(b"]" * 1000 + b"[" * 1000)


def test_brackets_in_strings_do_not_nest() -> None:
    """Text may hold any number of brackets, also behind escaped quotes."""
    assert is_embeddable(b'"' + b"[" * 1000 + b'"')
    assert is_embeddable(b'["\\"' + b"[{" * 1000 + b'\\\\"]')


def _deep_in_the_stack(payload: bytes, frames: int) -> bool:
    return _deep_in_the_stack(payload, frames - 1) if frames else is_embeddable(payload)


def test_the_answer_does_not_depend_on_the_stack() -> None:
    """A payload taken in near the top of the stack can be passed on from deep inside it."""
    assert _deep_in_the_stack(_nested(NESTING_MAX), 500)


@pytest.mark.parametrize("part", [b'"[\\', b'"[', b'\\"[', b'"\\\\[', b"[", b"{", b"[]", b'"\xc3\xa9['])
def test_the_price_is_linear(part: bytes) -> None:
    """A hostile text of a whole frame costs milliseconds, not the square of its length."""
    text = part * (60_000 // len(part))
    started = time.process_time()
    is_embeddable(text)
    # A quadratic search takes seconds here, a linear one a few milliseconds.
    assert time.process_time() - started < 0.5
