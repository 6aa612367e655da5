"""How the messages of catalog.proto are written down: keys, values, and the meta of a Consul service.

Nodes and coordinators import this and not each other: it is part of their contract. Nothing here reads or
writes a catalog.
"""

import json
import re
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from protos.catalog_pb2 import NodeReport

LEADER = "leader"
ORDERS = "orders/"
PLANS = "plans/"

# A value of a Consul service's meta has 512 bytes at most, and there are 64 keys at most.
META_BYTES_MAX = 512
_ADDRESS = "address_"
_NESTED = ("leaving", "moving")
# What both a NATS key-value bucket and Consul take as part of a key, less `=`, which escapes, and less `.`
# and `/`, which separate.
_UNSAFE = re.compile(r"[^-_a-zA-Z0-9]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")

_M = TypeVar("_M", bound=Message)


class Undecodable(Exception):
    """A value of the catalog is not what its key promises."""


def segment(name: str) -> str:
    """A name as one part of a key: other characters than letters, digits, `-` and `_` are written `=XX`.

    Args:
        name: of a node, or the id of a plan. Different names never have the same segment.
    """
    return _UNSAFE.sub(_escape, name)


def unsegment(text: str) -> str:
    """The name a segment stands for: undoes `segment`.

    Raises:
        Undecodable: no name has this segment.
    """
    try:
        return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()).decode()
    except UnicodeDecodeError:
        raise Undecodable(f"key part {text!r} is not an escaped name") from None


def _escape(found: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in found[0].encode())


def order_key(node: str) -> str:
    """Where a node's order stands."""
    return ORDERS + segment(node)


def plan_key(plan_id: str) -> str:
    """Where a plan stands."""
    return PLANS + segment(plan_id)


def encode(message: Message) -> bytes:
    """A value: protobuf JSON with the names of catalog.proto, on one line."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()


def decode(kind: type[_M], value: bytes | str) -> _M:
    """Read a value; fields this version does not know are skipped.

    Raises:
        Undecodable: it is no such message.
    """
    try:
        return json_format.Parse(value, kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise Undecodable(f"not a {kind.DESCRIPTOR.name}: {error}") from None


def to_meta(report: NodeReport) -> dict[str, str]:
    """A report as the meta of a Consul service: a key per field and per address, nested ones as JSON."""
    fields = json_format.MessageToDict(report, preserving_proto_field_name=True)
    addresses = fields.pop("addresses", [])
    meta = {f"{_ADDRESS}{address['transport']}": address["url"] for address in addresses}
    for name, value in fields.items():
        meta[name] = json.dumps(value, separators=(",", ":")) if name in _NESTED else str(value)
    # Only words for people can be so long: cut, they are still of use.
    return {name: value.encode()[:META_BYTES_MAX].decode(errors="ignore") for name, value in meta.items()}


def from_meta(meta: dict[str, str]) -> NodeReport:
    """Read what `to_meta` wrote; keys this version does not know are skipped.

    Raises:
        Undecodable: it is no report.
    """
    fields: dict[str, object] = {}
    addresses = []
    try:
        for name, value in meta.items():
            if name.startswith(_ADDRESS):
                addresses.append({"transport": name.removeprefix(_ADDRESS), "url": value})
            else:
                fields[name] = json.loads(value) if name in _NESTED else value
        fields["addresses"] = addresses
        report = json_format.ParseDict(fields, NodeReport(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError) as error:
        raise Undecodable(f"not the meta of a NodeReport: {error}") from None
    if not report.name:
        raise Undecodable("not the meta of a NodeReport: no name")
    return report
