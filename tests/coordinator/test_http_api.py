"""Tests of `coordinator.http_api`, `discover`, `event_stream` and `access`: what people and browsers get."""

import random
from collections import Counter
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coordinator.access import TokenCheck
from coordinator.discover import Discovery
from coordinator.http_api import HttpApi
from coordinator.placement import Placement
from coordinator.settings import PlanSettings
from tests.coordinator.asgi_client import TOKEN, AsgiClient, Got
from tests.coordinator.coordinators import FakeCoordinator
from tests.coordinator.fleet import Fleet, three_nodes
from tests.fakes.catalog import CatalogStore

CONTROL = [
    ("GET", "/v1/nodes"),
    ("GET", "/v1/plans"),
    ("GET", "/v1/plans/any"),
    ("GET", "/v1/watch"),
    ("GET", "/v1/plans/any/watch"),
    ("POST", "/v1/drain"),
    ("POST", "/v1/undrain"),
    ("POST", "/v1/rebalance"),
    ("POST", "/v1/plans/any/cancel"),
]


class Served:
    """A coordinator with its HTTP application."""

    def __init__(
        self, fleet: Fleet, origins: tuple[str, ...] = ("*",), token: str = TOKEN, *, insecure: bool = False
    ) -> None:
        self.coordinator = FakeCoordinator(fleet.store)
        discovery = Discovery(
            self.coordinator.mirror,
            Placement(PlanSettings()),
            origins,
            self.coordinator.telemetry,
            random.Random(1),
        )
        check = TokenCheck(token, insecure=insecure)
        self.app = HttpApi(self.coordinator.service, discovery, check, self.coordinator.telemetry)
        self.client = AsgiClient(self.app)

    async def start(self, nursery: trio.Nursery, fleet: Fleet) -> AsgiClient:
        nursery.start_soon(fleet.run)
        nursery.start_soon(self.coordinator.run)
        await self.coordinator.ready(len(fleet.nodes))
        return self.client


async def started(nursery: trio.Nursery, fleet: Fleet | None = None) -> tuple[Served, AsgiClient]:
    fleet = fleet or three_nodes(CatalogStore())
    served = Served(fleet)
    return served, await served.start(nursery, fleet)


@pytest.mark.parametrize(("method", "path"), CONTROL, ids=[path for _, path in CONTROL])
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e9"],
)
async def test_control_needs_the_token(method: str, path: str, authorization: str) -> None:
    """No path below /v1 says or does anything for who has no token, or the wrong one."""
    client = Served(three_nodes(CatalogStore())).client
    client.token = ""
    got = await client.ask(method, path, b"{}", content_type="application/json", authorization=authorization)
    assert got.status == 401
    assert got.fields["www-authenticate"].startswith("Bearer")
    assert TOKEN not in got.body.decode()


async def test_without_a_configured_token_nobody_is_let_in(autojump_clock: MockClock) -> None:
    """An empty token is no token; only the insecure mode needs none."""
    closed = Served(three_nodes(CatalogStore()), token="").client
    for token in ("", " ", TOKEN):
        closed.token = token
        assert (await closed.get("/v1/nodes")).status == 401
    opened = Served(three_nodes(CatalogStore()), token="", insecure=True).client
    opened.token = ""
    assert (await opened.get("/v1/nodes")).status == 503


async def test_nodes_and_plans_are_told_as_json(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Every field is there under its name in protos/, those that are not set too."""
    _, client = await started(nursery)
    got = await client.get("/v1/nodes")
    assert (got.status, got.fields["content-type"]) == (200, "application/json")
    assert [node["name"] for node in got.json["nodes"]] == ["node-1", "node-2", "node-3"]
    assert got.json["nodes"][0]["state"] == "SERVING"
    assert got.json["nodes"][0]["reason"] == ""
    assert (await client.get("/v1/plans")).json == {"plans": []}


async def test_a_drain_is_asked_for_and_watched(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """POST answers with the plan, and its stream shows it until it has ended."""
    _, client = await started(nursery)
    plan = (await client.post("/v1/drain", {"nodes": ["node-1"], "deadline_s": 60})).json
    assert plan["state"] == "REQUESTED"
    got = await client.get(f"/v1/plans/{plan['id']}/watch")
    assert got.fields["content-type"] == "text/event-stream"
    states = [event["state"] for _, event in got.events]
    assert [state for state in dict.fromkeys(states) if state != "REQUESTED"] == ["RUNNING", "DONE"]
    assert (await client.get(f"/v1/plans/{plan['id']}")).json["state"] == "DONE"
    undrained = await client.post("/v1/undrain", {"node": "node-1"})
    assert (undrained.status, undrained.json) == (200, {})


async def test_a_plan_is_cancelled(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """By its id in the path, with an empty body."""
    _, client = await started(nursery, three_nodes(CatalogStore(), 3000))
    plan = (await client.post("/v1/drain", {"nodes": ["node-1"]})).json
    assert (await client.post(f"/v1/plans/{plan['id']}/cancel")).json["state"] == "CANCELLING"


@pytest.mark.parametrize(
    ("method", "path", "body", "fields", "status"),
    [
        ("POST", "/v1/drain", b'{"nodes":["node-9"]}', {}, 404),
        ("POST", "/v1/drain", b'{"all":true}', {}, 409),
        ("POST", "/v1/drain", b'{"node":"node-1"}', {}, 400),
        ("POST", "/v1/drain", b"[" * 5000, {}, 400),
        ("POST", "/v1/drain", b"\xff", {}, 400),
        ("POST", "/v1/drain", b"{}" + b" " * 70_000, {}, 413),
        ("POST", "/v1/drain", b"{}", {"content_type": "text/plain"}, 415),
        ("POST", "/v1/rebalance", b"{}", {}, 409),
        ("POST", "/v1/plans/none/cancel", b"", {}, 404),
        ("GET", "/v1/plans/none/watch", b"", {}, 404),
        ("GET", "/v1/drain", b"", {}, 405),
        ("POST", "/v1/nodes", b"{}", {}, 405),
        ("DELETE", "/v1/nodes", b"", {}, 405),
        ("GET", "/v1/nothing", b"", {}, 404),
        ("GET", "/nothing", b"", {}, 404),
        ("GET", "/discover?transport=pigeon", b"", {}, 400),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    method: str,
    path: str,
    body: bytes,
    fields: dict[str, str],
    status: int,
) -> None:
    """Each mistake has its status and a sentence; a form sent by a page from elsewhere is one of them."""
    _, client = await started(nursery)
    got = await client.ask(method, path, body, **{"content_type": "application/json", **fields})
    assert got.status == status
    assert got.json["error"]


async def test_old_news_is_not_told(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Without the catalog: 503 with Retry-After, also for discovery, and the streams end with the reason."""
    served, client = await started(nursery)
    streamed = Got()
    nursery.start_soon(partial(client.ask, "GET", "/v1/watch", got=streamed))
    await streamed.until_events(1)
    served.coordinator.catalog.reachable = False
    await trio.sleep(8)
    for path in ("/v1/nodes", "/v1/watch", "/discover"):
        got = await client.get(path)
        assert (got.status, "retry-after" in got.fields) == (503, True), path
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/livez")).status == 200
    kind, event = streamed.events[-1]
    assert kind == "unavailable"
    assert "out of reach" in event["error"]


async def test_streams_end_when_the_reader_goes_or_the_coordinator_stops(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Nobody holds a coordinator up that is to stop, and nobody is written to who has gone."""
    served, client = await started(nursery)
    for end in ("gone", "stop"):
        streamed, gone = Got(), trio.Event()
        with trio.fail_after(30):
            async with trio.open_nursery() as reading:
                reading.start_soon(partial(client.ask, "GET", "/v1/watch", got=streamed, gone=gone))
                await streamed.until_events(1)
                (gone.set if end == "gone" else served.app.stop)()


async def test_discovery_names_a_node_and_alternatives(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Without a token: clients ask this. The address is the node's for the transport that was asked for."""
    _, client = await started(nursery)
    client.token = ""
    got = await client.get("/discover?transport=websocket")
    places = [got.json, *got.json["alternatives"]]
    assert {place["node"] for place in places} == {"node-1", "node-2", "node-3"}
    assert got.json["url"] == f"ws://{got.json['node']}/connection/websocket"
    assert got.fields["access-control-allow-origin"] == "*"
    assert got.fields["cache-control"] == "no-store"


async def test_a_thousand_clients_at_once_are_spread(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What was just handed out counts: within one second no node is named for much more than its share."""
    served, client = await started(nursery)
    answers = [await client.get("/discover") for _ in range(600)]
    told = Counter(answer.json.get("node", "") for answer in answers)
    assert set(told) <= {"node-1", "node-2", "node-3", ""}
    shares = [count for node, count in told.items() if node]
    assert max(shares) < 1.4 * min(shares)
    assert served.coordinator.telemetry.discover_answers["node"] == sum(shares)


async def test_a_draining_node_is_never_named(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """From the moment the plan is written, before the node itself has obeyed."""
    _, client = await started(nursery)
    await client.post("/v1/drain", {"nodes": ["node-1"]})
    for _ in range(50):
        got = await client.get("/discover")
        assert "node-1" not in {got.json["node"], *(place["node"] for place in got.json["alternatives"])}


async def test_without_a_node_discovery_asks_to_come_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """503 and a time, when nobody can take a client."""
    fleet = three_nodes(CatalogStore(), 10_000)
    _, client = await started(nursery, fleet)
    got = await client.get("/discover")
    assert (got.status, got.fields["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://app.example", "https://app.example"), ("https://evil.example", "")]
)
async def test_pages_of_other_origins_may_not_read_discovery(
    nursery: trio.Nursery, autojump_clock: MockClock, origin: str, allowed: str
) -> None:
    """Where origins are listed, only these are told apart, and caches know it."""
    fleet = three_nodes(CatalogStore())
    served = Served(fleet, origins=("https://app.example",))
    got = await (await served.start(nursery, fleet)).get("/discover", origin=origin)
    assert got.fields.get("access-control-allow-origin", "") == allowed
    assert got.fields["vary"] == "origin"


async def test_the_page_may_run_its_own_scripts_only() -> None:
    """The operator's page is served to everybody; what it shows needs the token."""
    client = Served(three_nodes(CatalogStore())).client
    client.token = ""
    got = await client.get("/")
    assert got.status == 200
    assert "default-src 'none'" in got.fields["content-security-policy"]
    assert b"<!--" not in got.body
    head = await client.ask("HEAD", "/")
    assert (head.status, head.body) == (200, b"")


async def test_metrics_tell_what_was_asked(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Calls and discovery answers are counted by outcome."""
    _, client = await started(nursery)
    await client.get("/discover")
    await client.post("/v1/drain", {"nodes": ["node-9"]})
    text = (await client.get("/metrics")).body.decode()
    assert 'broadcast_coordinator_discover_answers_total{outcome="node"} 1.0' in text
    assert 'broadcast_coordinator_calls_total{method="drain",outcome="NotFound"} 1.0' in text
