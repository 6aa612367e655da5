"""What the ready-made ways answer to the load generator's clients: as little as there can be."""

import json
from typing import Any


def answer_to(command: str | bytes) -> str:
    """The reply to a connect or subscribe command."""
    parsed: dict[str, Any] = json.loads(command)
    what = "subscribe" if "subscribe" in parsed else "connect"
    return json.dumps({"id": parsed["id"], what: {}}, separators=(",", ":"))


def push_of(publication: bytes) -> str:
    """What subscribers get of the body of a publish request; encoded once for all of them."""
    parsed: dict[str, Any] = json.loads(publication)
    push = {"push": {"channel": parsed["channel"], "pub": {"data": parsed["data"]}}}
    return json.dumps(push, separators=(",", ":"))
