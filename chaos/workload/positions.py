"""Positions as /sse writes them into the ids of its events; an EventSource sends them back unread."""

from collections.abc import Mapping
from urllib.parse import quote

from chaos.history import Position


def event_id(positions: Mapping[str, Position | None]) -> str:
    """The id of an event after which a client stands at these positions.

    For a client that comes from another transport: it knows its positions, but no event's id.
    """
    by_epoch: dict[str, list[str]] = {}
    for channel, position in positions.items():
        if position is not None:
            by_epoch.setdefault(position.epoch, []).append(f"{quote(channel, safe='')}={position.offset}")
    return ";".join(f"{quote(epoch, safe='')}:{','.join(entries)}" for epoch, entries in by_epoch.items())
