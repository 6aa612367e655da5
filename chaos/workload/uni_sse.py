"""/connection/uni_sse: channels and positions travel in the connect request, pushes come as events."""

from urllib.parse import quote

from chaos.workload.event_stream import Event
from chaos.workload.sse_dialog import SseDialog
from chaos.workload.uni_pushes import connect_request, take_push


class UniSseDialog(SseDialog):
    """One connection; see SseDialog."""

    def target(self) -> str:
        """See SseDialog."""
        return f"/connection/uni_sse?cf_connect={quote(connect_request(self.wanted))}"

    def take(self, event: Event) -> None:
        """See SseDialog."""
        take_push(event.data, self.wanted, self.listener, self.retry_s)
