"""Tests of the commands that speak to a coordinator, and of `deploy.coordinator_api`, with a stand-in."""

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from deploy import cli
from deploy.commands import drain, nodes, undrain
from deploy.coordinator_api import CoordinatorApi, StreamLost
from deploy.errors import UserError

NODE = {
    "name": "node-1",
    "state": "NOT_READY",
    "connections": 12,
    "capacity": 100,
    "connect_rate": 3.2,
    "connect_rate_max": 50.0,
    "cpu": 0.25,
    "loop_lag_s": 0.002,
    "memory_bytes": "52428800",
    "uptime_s": 61.0,
    "version": "1.0",
    "reason": "the broker has been away for 12 s",
}
PLAN = {
    "id": "p1",
    "kind": "DRAIN",
    "state": "DONE",
    "note": "",
    "started_at": 1.0,
    "ended_at": 2.0,
    "steps": [{"node": "node-1", "count": 0, "connections": 7, "connections_before": 7, "sent_away": 7}],
}
Answers = dict[str, tuple[int, bytes]]


class Stand(BaseHTTPRequestHandler):
    """Answers as it was told, and remembers what it was asked."""

    answers: ClassVar[Answers] = {}
    asked: ClassVar[list[tuple[str, str, Any]]] = []

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", ""), body))
        status, answer = self.answers.get(self.path, (404, b'{"error":"nothing here"}'))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def coordinator() -> Iterator[str]:
    """The address of a stand-in."""
    Stand.answers, Stand.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stand)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    drain.add_arguments(parser)
    return parser.parse_args(argv)


def test_nodes_are_a_table() -> None:
    """What an operator asks first: who, in what state, how full, and why not ready."""
    text = nodes.report({"nodes": [NODE], "leader": {"name": "one"}, "plans": [{**PLAN, "state": "RUNNING"}]})
    assert "node-1  not ready  12        100       3/50   25%  2.0 ms  50 MiB" in text
    assert "the broker has been away for 12 s" in text
    assert "one leads" in text
    assert "drain p1 of node-1 is running" in text


def test_an_empty_cluster_is_said() -> None:
    """No empty table."""
    assert nodes.report({"nodes": [], "plans": []}) == "no node is registered\n\nnobody leads at the moment"


@pytest.mark.parametrize(
    ("argv", "unavailable_max"),
    [
        (["a", "b"], 0),
        (["--all"], 1),
        (["--all", "--max-unavailable", "3"], 3),
        (["a", "--max-unavailable", "1"], 1),
    ],
)
def test_a_list_leaves_together_and_all_one_by_one(argv: list[str], unavailable_max: int) -> None:
    """Nobody empties a whole cluster at once without saying so."""
    assert drain.request(parsed(*argv))["unavailable_max"] == unavailable_max


def test_every_option_of_a_drain_is_passed_on() -> None:
    """By the names of DrainRequest."""
    argv = "a --deadline 2m --stop --resume --force --pick largest --dry-run"
    assert drain.request(parsed(*argv.split())) == {
        "nodes": ["a"],
        "all": False,
        "deadline_s": 120.0,
        "unavailable_max": 0,
        "stop": True,
        "resume": True,
        "force": True,
        "pick": "LARGEST_FIRST",
        "dry_run": True,
    }


@pytest.mark.parametrize("argv", [[], ["node-1", "--all"]])
def test_a_drain_needs_to_know_of_whom(
    argv: list[str], coordinator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some nodes or all of them; nothing is asked otherwise, and who gave both is told so."""
    assert cli.main(["drain", *argv, "--coordinator", coordinator]) == 1
    complaint = capsys.readouterr().err
    assert "say which nodes, or --all" in complaint
    assert ("both nodes and --all are given" in complaint) == bool(argv)
    assert not Stand.asked


def test_a_drain_is_asked_for_and_its_end_is_the_exit_code(
    coordinator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token goes with it, from the environment or the option."""
    Stand.answers = {"/v1/drain": (200, _json(PLAN))}
    assert cli.main(["drain", "node-1", "--coordinator", coordinator, "--token", "secret", "--json"]) == 0
    ((path, authorization, body),) = Stand.asked
    assert (path, authorization, body["nodes"]) == ("/v1/drain", "Bearer secret", ["node-1"])
    assert json.loads(capsys.readouterr().out)["id"] == "p1"


def test_one_client_is_told_as_one() -> None:
    """The outline of a plan is for people."""
    step = {"node": "node-1", "count": 0, "connections": 1, "connections_before": 1}
    plan = {"kind": "DRAIN", "id": "p1", "note": "", "steps": [step]}
    assert drain.outline(plan) == "drain p1\n  node-1: 1 client to other nodes"


@pytest.mark.parametrize(
    ("argv", "path", "said"),
    [
        (["drain", "node-1", "--dry-run"], "/v1/drain", "node-1: 7 clients to other nodes"),
        (["drain", "node-1", "--no-wait"], "/v1/drain", "drain p1"),
        (["drain", "--cancel", "p1"], "/v1/plans/p1/cancel", "plan p1: done"),
        (["rebalance", "--dry-run"], "/v1/rebalance", "node-1: 7 clients to other nodes"),
        (["rebalance", "--cancel", "p1"], "/v1/plans/p1/cancel", "plan p1: done"),
        (["undrain", "node-1", "--no-wait"], "/v1/undrain", "node-1 goes back into rotation"),
    ],
)
def test_commands_call_their_path(
    argv: list[str], path: str, said: str, coordinator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And say in a line what came of it."""
    Stand.answers = {path: (200, _json(PLAN))}
    assert cli.main([*argv, "--coordinator", coordinator]) == 0
    assert said in capsys.readouterr().out


def test_an_undrain_waits_until_the_node_serves(coordinator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A drain of another node can follow at once: there is one that takes the clients."""
    later = [{**NODE, "state": "LEAVING"}, {**NODE, "state": "SERVING"}]
    Stand.answers = {"/v1/undrain": (200, b"{}"), "/v1/nodes": (200, _json({"nodes": later[:1]}))}
    serves = threading.Timer(
        0.5, Stand.answers.__setitem__, ("/v1/nodes", (200, _json({"nodes": later[1:]})))
    )
    serves.start()
    assert cli.main(["undrain", "node-1", "--coordinator", coordinator]) == 0
    serves.join()
    assert [path for path, _, _ in Stand.asked].count("/v1/nodes") > 1
    assert capsys.readouterr().out.splitlines() == ["node-1 goes back into rotation", "node-1 is in rotation"]


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, {"nodes": [NODE]}, "node-1: not ready, the broker has been away for 12 s"),
        (200, {"nodes": []}, "node-1: it is gone"),
        (503, {"error": "the catalog is away"}, "nobody can say (the catalog is away)"),
    ],
)
def test_an_undrain_that_nobody_obeys_says_so(
    status: int, answer: object, said: str, coordinator: str
) -> None:
    """It waits for a bounded time, and then tells what the node does instead."""
    Stand.answers = {"/v1/nodes": (status, _json(answer))}
    with pytest.raises(UserError, match="not back in rotation after 0 s") as told:
        undrain.await_serving(CoordinatorApi(coordinator, ""), ["node-1"], patience_s=0)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, b'{"error":"no"}', "BROADCAST_COORDINATOR_TOKEN"),
        (404, b'{"error":"no living node is called x"}', "no living node is called x"),
        (409, b'{"error":"use force"}', "use force"),
        (503, b'{"error":"the catalog is away"}', "the catalog is away"),
        (200, b"<html>", "is it a coordinator?"),
        (502, b"[]", "is it a coordinator?"),
    ],
)
def test_refusals_are_told_in_the_coordinators_words(
    status: int, answer: bytes, said: str, coordinator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and one sentence, whoever answers."""
    Stand.answers = {"/v1/nodes": (status, answer)}
    assert cli.main(["nodes", "--coordinator", coordinator]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    """With an example of one."""
    with pytest.raises(UserError, match="looks like http"):
        CoordinatorApi(url, "")


def test_nobody_there_is_said(coordinator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that is refused is no traceback."""
    assert cli.main(["nodes", "--coordinator", "http://127.0.0.1:1"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_events_are_read_and_their_end_is_told(coordinator: str) -> None:
    """Comments are skipped; a coordinator that lost the catalog breaks the stream with its reason."""
    text = b': here\n\ndata: {"id":"a"}\n\nevent: unavailable\ndata: {"error":"away"}\n\n'
    Stand.answers = {"/v1/watch": (200, text)}
    events = CoordinatorApi(coordinator, "").watch("/v1/watch")
    assert next(events) == {"id": "a"}
    with pytest.raises(StreamLost, match="away"):
        next(events)
