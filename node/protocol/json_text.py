"""Which bytes are JSON text that can be passed on: to the broker, and embedded in other clients' frames.

RFC 8259, section 9, lets a parser limit what it takes. Every receiver has such limits, and what one
client publishes must not hit another's; nor may a payload that was accepted turn out too deep for this
process later, with more on its stack. So nesting has one limit, the same on the way in and out.
"""

import re

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

# Arrays and objects inside one another. Protobuf's own limit is 100, CPython's parsers end below 1,000.
NESTING_MAX = 128
# What a msgspec decoder raises for bytes it cannot read, of strangers above all: a string need not be UTF-8,
# and nesting, also within members that are skipped, ends with the stack.
UNDECODABLE = (DecodeError, UnicodeDecodeError, RecursionError)

_VALUE = Decoder(Raw)
# A string without an end goes to the end of the text: looking for its end once more from every quote in it
# would cost the square of its length.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def fault_of(text: bytes) -> str:
    """What keeps a text from being read, apart from its grammar: "" for nothing, else words for "it ..."."""
    # Nearly every text is ASCII, and isascii allocates nothing.
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            return f"is not UTF-8 (byte {error.start})"
    return "nests too deeply" if _nests_deeper(text, NESTING_MAX) else ""


def is_embeddable(payload: bytes) -> bool:
    """Whether a payload is one JSON value, and so can travel to clients that speak JSON.

    msgspec checks the grammar of a `Raw` value that it skips, but not its UTF-8 (tried with 0.22). It
    also refuses escapes of lone surrogates, which JSON's grammar allows and many receivers do not.
    """
    if fault_of(payload):
        return False
    try:
        _VALUE.decode(payload)
    except DecodeError:
        return False
    return True


def _nests_deeper(text: bytes, depth: int) -> bool:
    # As many brackets as that are rare, and counting them is cheap.
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    open_now = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            open_now += 1
            if open_now > depth:
                return True
        else:
            # Below zero the text is no JSON, and its parser stops here.
            open_now -= 1
    return False
