"""Tests of `deploy.plan_progress`: what is shown of a plan, and that watching outlives a coordinator."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rich.console import Console

from deploy import plan_progress
from deploy.coordinator_api import CoordinatorApi, StreamLost, Unknown
from deploy.errors import UserError


def plan(state: str = "RUNNING", step: str = "SENDING", left: int = 60, **more: Any) -> dict[str, Any]:
    """A drain of one node with a hundred clients."""
    steps = [
        {
            "node": "node-1",
            "state": step,
            "connections_before": 100,
            "connections": left,
            "count": 0,
            "sent_away": 100 - left,
            "rate": 20.0,
            "remaining_s": 2.6,
            "note": "",
        }
    ]
    times = {"started_at": 10.0, "ended_at": 15.5 if state == "DONE" else 0.0}
    return {"id": "p1", "kind": "DRAIN", "state": state, "note": "", "steps": steps, **times, **more}


DONE = plan("DONE", "DONE", 0)


class FakeApi(CoordinatorApi):
    """Each watch yields the next list of plans; a list without an end breaks."""

    def __init__(self, *watches: Sequence[dict[str, Any]]) -> None:
        self._watches = iter(watches)

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        assert path == "/v1/plans/p1/watch"
        yield from next(self._watches, ())
        raise StreamLost("the connection broke")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_progress, "_AGAIN_S", 0)


def test_a_drain_is_followed_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a file go a line per state, with what is left and for how long, and how it ended."""
    api = FakeApi([plan(step="WAITING", left=100), plan(), DONE])
    assert plan_progress.follow(api, plan("REQUESTED", "PENDING", 100), as_json=False) == 0
    out = capsys.readouterr().out
    assert "node-1: 0 of 100, waiting, until no new client arrives" in out
    assert "node-1: 40 of 100, sending, 20/s, 60 left, about 3 s" in out
    assert out.endswith("drain done, after 5.5 s\n")


def test_events_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One plan per line, and nothing else."""
    assert plan_progress.follow(FakeApi([plan(), DONE]), plan("REQUESTED"), as_json=True) == 0
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["REQUESTED", "RUNNING", "DONE"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_the_exit_code_tells_what_became_of_it(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that drains must notice that it did not work."""
    ended = plan(state, "FAILED", 60, note="the deadline has passed")
    assert plan_progress.follow(FakeApi([ended]), plan(), as_json=False) == 1
    assert "the deadline has passed" in capsys.readouterr().out


def test_watching_outlives_a_coordinator(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that breaks is asked for again: another coordinator may answer at the same address."""
    assert plan_progress.follow(FakeApi([plan()], [], [plan(), DONE]), plan(), as_json=False) == 0
    assert "drain done" in capsys.readouterr().out


def test_watching_ends_when_nobody_answers() -> None:
    """After its patience the command says so, and where to look."""
    with pytest.raises(UserError, match="nobody says how plan p1 goes on"):
        list(plan_progress.updates(FakeApi(), plan(), patience_s=0))


def test_ctrl_c_says_that_the_drain_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the watching only, and the command that ends the drain is there to be copied."""

    def interrupted(_self: object, _plan: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plan_progress.Lines, "show", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan_progress.follow(FakeApi([plan()]), plan(), as_json=False)
    assert "broadcast drain --cancel p1" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_per_node() -> None:
    """With rate, remaining and estimate."""
    screen = io.StringIO()
    bars = plan_progress.Bars(Console(file=screen, force_terminal=True, width=120))
    with bars.progress:
        bars.show(plan(note="100 clients to 2 nodes"))
        bars.progress.refresh()
        bars.show(DONE)
    text = screen.getvalue()
    assert "100 clients to 2 nodes" in text
    assert "40 of 100, sending, 20/s, 60 left, about 3 s" in text
    assert "100 of 100, done" in text


def test_of_a_rebalance_the_moved_are_counted() -> None:
    """A node that gives some clients away is not drained: what counts is how many it was to give."""
    moving = plan(kind="REBALANCE")
    moving["steps"][0] |= {"count": 40, "sent_away": 10}
    assert plan_progress.words(moving, moving["steps"][0]).startswith("10 of 40, sending")


class ForgetfulApi(FakeApi):
    """After the watches there are, nobody knows the plan."""

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        if not (watch := next(self._watches, ())):
            raise Unknown("there is no plan p1, or it ended long ago")
        yield from watch
        raise StreamLost("there is no plan p1, or it ended long ago")


def test_a_plan_that_the_catalog_lost_is_not_waited_for() -> None:
    """The command ends, and says that the node may go on."""
    seen = plan_progress.updates(ForgetfulApi([plan()]), plan("REQUESTED", "PENDING", 100))
    assert [each["state"] for each in (next(seen), next(seen))] == ["REQUESTED", "RUNNING"]
    with pytest.raises(UserError, match=r"not in the catalog any more.*goes on at its own pace"):
        next(seen)
