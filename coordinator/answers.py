"""HTTP answers as plain data, and messages as JSON. No server and no socket is known here."""

import json
from typing import NamedTuple

import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from coordinator.errors import InvalidRequest, NotAllowed, NotFound, NotPossible, OperationError, Unavailable

_JSON = "application/json"
_RETRY_AFTER_S = 1
# RFC 9110, section 15: 409 is a conflict with the state of what was asked for.
STATUS: dict[type[OperationError], int] = {
    NotAllowed: 401,
    InvalidRequest: 400,
    NotFound: 404,
    NotPossible: 409,
    Unavailable: 503,
}


class Answer(NamedTuple):
    """An HTTP response.

    Attributes:
        status: the HTTP status.
        body: as it is sent.
        content_type: of the body.
        fields: further header fields, names in lower case.
    """

    status: int
    body: bytes
    content_type: str = _JSON
    fields: tuple[tuple[str, str], ...] = ()


def json_answer(status: int, value: object, fields: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A JSON value."""
    # Every client that comes asks `/discover`: the standard library's encoder takes twenty times as long.
    body = msgspec.json.encode(value) + b"\n"
    return Answer(status, body, _JSON, (*fields, ("cache-control", "no-store")))


def message_answer(message: Message) -> Answer:
    """A message in protobuf's JSON form, every field with the name it has in protos/."""
    return Answer(200, message_json(message).encode() + b"\n", _JSON, (("cache-control", "no-store"),))


def message_json(message: Message) -> str:
    """A message on one line; fields that are not set are there too, so that readers need no defaults."""
    return json.dumps(message_fields(message), separators=(",", ":"))


def message_fields(message: Message) -> dict[str, object]:
    """The same as a dictionary."""
    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return dict(fields)


def refusal(error: OperationError) -> Answer:
    """An operation's refusal."""
    status = STATUS[type(error)]
    fields: tuple[tuple[str, str], ...] = ()
    if status == STATUS[NotAllowed]:
        # RFC 6750, section 3.
        fields = (("www-authenticate", 'Bearer realm="coordinator"'),)
    elif status == STATUS[Unavailable]:
        fields = (("retry-after", str(_RETRY_AFTER_S)),)
    return json_answer(status, {"error": str(error)}, fields)
