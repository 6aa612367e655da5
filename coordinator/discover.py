"""`GET /discover`: where a new client should go. Called for every client, so it is short."""

from collections.abc import Callable, Sequence
from random import Random

import trio

from coordinator.answers import Answer, json_answer, refusal
from coordinator.errors import InvalidRequest, Unavailable
from coordinator.mirror import Mirror
from coordinator.placement import Placement
from coordinator.telemetry import Telemetry

# As protos/catalog.proto names them.
TRANSPORTS = (
    "websocket",
    "http_stream",
    "sse_emulation",
    "uni_websocket",
    "uni_http_stream",
    "uni_sse",
    "ws",
    "sse",
    "http",
    "grpc",
)
# How long a client is asked to wait when no node can take it: reports come every second.
_RETRY_AFTER_S = 2


class Discovery:
    """Answers discovery requests.

    Args:
        mirror: the nodes and the plans.
        placement: chooses.
        origins: of pages that may ask; `*` for all.
        telemetry: answers are counted there.
        rng: chance.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        mirror: Mirror,
        placement: Placement,
        origins: Sequence[str],
        telemetry: Telemetry,
        rng: Random,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._mirror = mirror
        self._placement = placement
        self._origins = frozenset(origins)
        self._telemetry = telemetry
        self._rng = rng
        self._clock = clock
        self._revision = -1

    def answer(self, transport: str, origin: str) -> Answer:
        """The best node for one client, and one or two others to try after it.

        Args:
            transport: one of TRANSPORTS; "" is "websocket".
            origin: of the page that asks, "" for programs.
        """
        cors = self._cors(origin)
        transport = transport or "websocket"
        if transport not in TRANSPORTS:
            error = InvalidRequest(f"transport is one of {', '.join(TRANSPORTS)}")
            return _with(refusal(error), cors)
        try:
            self._mirror.check()
        except Unavailable as unavailable:
            self._telemetry.discover_answers["unavailable"] += 1
            return _with(refusal(unavailable), cors)
        now = self._clock()
        if self._revision != self._mirror.revision:
            self._revision = self._mirror.revision
            self._placement.update(self._mirror.view, self._mirror.all_plans(), now)
        places = self._placement.choose(transport, now, self._rng)
        if not places:
            self._telemetry.discover_answers["full"] += 1
            retry = ("retry-after", str(_RETRY_AFTER_S))
            return json_answer(503, {"error": "no node can take a client now"}, (retry, *cors))
        self._telemetry.discover_answers["node"] += 1
        best, *others = places
        alternatives = [{"node": place.node, "url": place.url} for place in others]
        found = {"transport": transport, "node": best.node, "url": best.url, "alternatives": alternatives}
        return json_answer(200, found, cors)

    def _cors(self, origin: str) -> tuple[tuple[str, str], ...]:
        """Fields that let a page read the answer (Fetch standard, section 3.3)."""
        if "*" in self._origins:
            return (("access-control-allow-origin", "*"),)
        if origin in self._origins:
            return (("access-control-allow-origin", origin), ("vary", "origin"))
        return (("vary", "origin"),)


def _with(answer: Answer, fields: tuple[tuple[str, str], ...]) -> Answer:
    return answer._replace(fields=(*answer.fields, *fields))
