"""The NATS client protocol, our side of it: bytes in to messages and events. `commands` is the other way.

Rules of this file: no trio, sockets, clock, randomness or logging; nothing waits. A message is sliced out of
the portion it came in and nothing of it is decoded: headers stay raw.

Measured (Python 3.11, messages of 128 bytes in portions of 64 KiB): 1.1 us per MSG, 1.3 per HMSG with 170
bytes of headers. A regular expression per line cost 0.2 to 0.4 us more; handing each message over inside the
loop, without a list, saved 0.05.

Source: the client protocol reference of docs.nats.io (2.11) and ADR-4 of nats-architecture-and-design
(headers), checked against nats-server 2.15.
"""

import functools
from enum import Enum
from typing import NamedTuple

import msgspec

from node.protocol.json_text import UNDECODABLE

# An INFO lists a cluster's addresses and may pass the 4,096 bytes a server takes from its clients.
CONTROL_LINE_BYTES_MAX = 32_768
# Servers can be told to take payloads of 64 MiB at most. It is not INFO's `max_payload`: that limits what
# we publish; a message may come from a server of the cluster with a higher one, and a re-published message
# is longer than the one stored. So this only bounds what a broken peer can make us hold.
MESSAGE_BYTES_MAX = 65 * 1024 * 1024

_LONG_LINE = f"control line of more than {CONTROL_LINE_BYTES_MAX} bytes"


class ParserError(Exception):
    """The peer does not speak the NATS protocol; the connection is of no use any more."""


class Msg(NamedTuple):
    """A message as the server sent it; raw bytes, nothing decoded.

    Attributes:
        subject: what it was published to.
        reply: where an answer is expected, b"" for nowhere.
        headers: the raw header block with its `NATS/1.0` line and closing empty line, b"" for none.
        payload: the body.
        sid: id of the subscription it came for.
    """

    subject: bytes
    reply: bytes
    headers: bytes
    payload: bytes
    sid: bytes = b""

    @property
    def status(self) -> int:
        """The code in the header line (503: nobody listens, 404, 408, ...), 0 for an ordinary message."""
        code = self.headers[9:12]
        return int(code) if self.headers[8:9] == b" " and code.isdigit() else 0

    @property
    def status_text(self) -> str:
        """The words behind the status code, "" for none."""
        return self.headers[12 : self.headers.find(b"\r\n")].decode("utf-8", "replace").strip()


class ServerInfo(msgspec.Struct, frozen=True):
    """INFO: what a server says of itself, when we connect and whenever it changes."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: int = 0
    headers: bool = False
    # Bytes of headers and payload together that a publish may have.
    max_payload: int = 1_048_576
    auth_required: bool = False
    tls_required: bool = False
    tls_available: bool = False
    # What an nkey has to sign.
    nonce: str = ""
    # host:port of the cluster's servers.
    connect_urls: tuple[str, ...] = ()
    # Lame duck mode: this server is about to stop.
    ldm: bool = False
    jetstream: bool = False
    cluster: str = ""


class ServerError(NamedTuple):
    """-ERR: the server complains; it may close the connection after it."""

    text: str


class Control(Enum):
    """The events that carry nothing."""

    PING = "PING"
    PONG = "PONG"
    OK = "+OK"


Event = Msg | ServerInfo | ServerError | Control


_CONTROLS = {control.value.encode(): control for control in Control}
_INFO_DECODER = msgspec.json.Decoder(ServerInfo)
_new_msg = functools.partial(tuple.__new__, Msg)


class Parser:
    """Takes a connection's bytes in any portions and returns what they say."""

    __slots__ = ("_held", "_missing")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._missing = 0

    @property
    def holds_data(self) -> bool:
        """Whether part of a line or message waits for its rest."""
        return bool(self._held)

    def receive(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events complete by now, in order.

        Raises:
            ParserError: these bytes are no NATS; the parser is of no use afterwards.
        """
        if self._held:
            data = self._with_held(data)
        # This loop is what a message costs: locals, one split per line, tuples made without a frame.
        events: list[Event] = []
        find, add, new_msg = data.find, events.append, _new_msg
        position, end, missing = 0, len(data), 1
        while (line_end := find(b"\r\n", position)) >= 0:
            if line_end - position > CONTROL_LINE_BYTES_MAX:
                raise ParserError(_LONG_LINE)
            words = data[position:line_end].split()
            operation = words[0] if words else b""
            start = line_end + 2
            try:
                if operation == b"MSG":
                    if len(words) == 4:
                        _, subject, sid, size = words
                        reply = b""
                    else:
                        _, subject, sid, reply, size = words
                    body = start
                elif operation == b"HMSG":
                    if len(words) == 5:
                        _, subject, sid, headers_size, size = words
                        reply = b""
                    else:
                        _, subject, sid, reply, headers_size, size = words
                    body = start + int(headers_size)
                else:
                    add(_control_event(operation, data[position:line_end]))
                    position = start
                    continue
                # int() also takes `+5` and `1_0`; the line end behind the payload is checked in any case.
                stop = start + int(size)
            except ValueError:
                raise ParserError(
                    "message line with a wrong number of words, or a size that is no number"
                ) from None
            if not start <= body <= stop <= start + MESSAGE_BYTES_MAX:
                raise ParserError("message line with an impossible size")
            after = stop + 2
            if after > end:
                missing = after - end
                break
            if data[stop:after] != b"\r\n":
                raise ParserError("message without a line end behind its payload")
            position = after
            add(new_msg((subject, reply, data[start:body], data[body:stop], sid)))
        if position < end:
            # One byte more may be the CR of the line's own end.
            if line_end < 0 and end - position > CONTROL_LINE_BYTES_MAX + 1:
                raise ParserError(_LONG_LINE)
            self._held.append(data[position:])
            self._missing = missing
        return events

    def _with_held(self, data: bytes) -> bytes:
        # A payload of many portions is joined once, when its last byte is here; b"" until then.
        self._held.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        joined = b"".join(self._held)
        self._held.clear()
        return joined


def _control_event(operation: bytes, line: bytes) -> Event:
    if operation == b"INFO":
        return parse_info(line[len(b"INFO ") :])
    if operation == b"-ERR":
        return ServerError(line[len(b"-ERR ") :].decode("utf-8", "replace").strip(" '"))
    if (control := _CONTROLS.get(line.rstrip())) is not None:
        return control
    # The line itself is not shown: out of step, it may be somebody's payload.
    raise ParserError("unknown operation")


def parse_info(document: bytes) -> ServerInfo:
    """Read INFO's JSON object; members we do not know are skipped.

    Raises:
        ParserError: it is not a JSON object, or a member has another type than the protocol gives it.
    """
    try:
        return _INFO_DECODER.decode(document)
    except UNDECODABLE as error:
        raise ParserError(f"INFO that cannot be read: {error}") from None
