"""/sse, the plain form for EventSource: positions travel in the ids of its events."""

from urllib.parse import quote

import msgspec

from chaos.workload.dialog import Listener, Opening, Over
from chaos.workload.event_stream import Event
from chaos.workload.plain_websocket import decode
from chaos.workload.positions import event_id
from chaos.workload.sse_dialog import SseDialog


class PlainSseDialog(SseDialog):
    """One connection; see SseDialog.

    Args:
        opening: what it is made from; a client that comes from another transport has no event's id.
        listener: the client.
    """

    def __init__(self, opening: Opening, listener: Listener) -> None:
        last_event_id = opening.last_event_id or event_id(opening.wanted)
        super().__init__(msgspec.structs.replace(opening, last_event_id=last_event_id), listener)

    def target(self) -> str:
        """See SseDialog."""
        return "/sse?" + "&".join(f"channel={quote(channel, safe='')}" for channel in self.wanted)

    def take(self, event: Event) -> None:
        """See SseDialog."""
        plain = decode(event.data)
        match plain.type:
            case "publication" if plain.data is not None:
                self.listener.delivered(plain.channel, plain.data.id, plain.offset)
            case "connected":
                self.listener.welcomed()
            case "subscribed":
                self.listener.subscribed(plain.channel, plain.epoch, plain.offset, plain.recovered)
            case "unsubscribed":
                self.listener.unsubscribed(plain.channel, plain.code)
            case "disconnect":
                raise Over(plain.code, plain.reason, self.retry_s)
