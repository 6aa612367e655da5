"""A plan of the coordinator, shown while it happens: bars on a terminal, lines elsewhere, or JSON events."""

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from deploy.coordinator_api import CoordinatorApi, StreamLost, Unavailable, Unknown
from deploy.errors import UserError

ENDED = frozenset(("DONE", "FAILED", "CANCELLED"))
# A new leader takes seconds; a coordinator that is restarted, or the catalog, may take longer.
_PATIENCE_S = 60.0
_AGAIN_S = 0.5
_LINE_INTERVAL_S = 1.0

Plan = dict[str, Any]
Step = dict[str, Any]


class Screen(Protocol):
    """Shows one plan."""

    def show(self, plan: Plan) -> None:
        """The plan as it is now."""


def follow(coordinator: CoordinatorApi, plan: Plan, *, as_json: bool) -> int:
    """Show a plan until it has ended; returns the exit code: 0 done, 1 failed or cancelled.

    Args:
        coordinator: any one.
        plan: as it was answered.
        as_json: one event per line instead of anything for people.

    Raises:
        UserError: no coordinator could be reached for a minute, and the plan goes on without a watcher; or
            the catalog has lost it.
        KeyboardInterrupt: after saying that the plan goes on.
    """
    terminal = sys.stdout.isatty() and not as_json
    bars = Bars() if terminal else None
    screen: Screen = bars or (JsonLines() if as_json else Lines())
    try:
        with bars.progress if bars else nullcontext():
            for latest in updates(coordinator, plan):
                plan = latest
                screen.show(plan)
    except KeyboardInterrupt:
        what = plan["kind"].lower()
        print(
            f"\nThe {what} goes on without this command. To end it: broadcast {what} --cancel {plan['id']}",
            file=sys.stderr,
        )
        raise
    if not as_json:
        print(summary(plan))
    return 0 if plan["state"] == "DONE" else 1


def updates(coordinator: CoordinatorApi, plan: Plan, patience_s: float = _PATIENCE_S) -> Iterator[Plan]:
    """A plan as it changes, the last time when it has ended.

    Args:
        coordinator: any one; asked again where the stream breaks.
        plan: its first form.
        patience_s: how long nobody may answer, seconds.

    Raises:
        UserError: see `follow`.
    """
    yield plan
    heard_at = time.monotonic()
    while plan["state"] not in ENDED:
        try:
            for latest in coordinator.watch(f"/v1/plans/{plan['id']}/watch"):
                plan = latest
                heard_at = time.monotonic()
                yield plan
                if plan["state"] in ENDED:
                    return
            lost: Exception = StreamLost("the coordinator ended the stream")
        except Unknown as error:
            raise UserError(
                f"plan {plan['id']} is not in the catalog any more, so nobody can say how it ends ({error}); "
                "a node that was leaving goes on at its own pace and stays away until broadcast undrain; "
                "no further one is told to leave"
            ) from error
        except (StreamLost, Unavailable) as error:
            lost = error
        if time.monotonic() - heard_at > patience_s:
            raise UserError(
                f"nobody says how plan {plan['id']} goes on: {lost}; see broadcast nodes"
            ) from lost
        time.sleep(_AGAIN_S)


def amounts(plan: Plan, step: Step) -> tuple[int, int]:
    """How many clients have gone, and of how many."""
    if plan["kind"] == "REBALANCE":
        return step["sent_away"], step["count"]
    total = max(step["connections_before"], step["connections"])
    return total - step["connections"], total


def words(plan: Plan, step: Step) -> str:
    """How far a node has come, in a few words."""
    gone, total = amounts(plan, step)
    said = [f"{gone} of {total}", step["state"].lower()]
    if step["state"] == "SENDING":
        said += [f"{step['rate']:.0f}/s", f"{total - gone} left", f"about {math.ceil(step['remaining_s'])} s"]
    elif step["state"] == "WAITING":
        said.append("until no new client arrives")
    return ", ".join(said) + (f" ({step['note']})" if step["note"] else "")


def summary(plan: Plan) -> str:
    """How it ended."""
    taken_s = plan["ended_at"] - plan["started_at"] if plan["started_at"] and plan["ended_at"] else 0.0
    note = f": {plan['note']}" if plan["note"] else ""
    return f"{plan['kind'].lower()} {plan['state'].lower()}{note}, after {taken_s:.1f} s"


class JsonLines:
    """Every form of the plan as a line of JSON."""

    def show(self, plan: Plan) -> None:
        """See Screen."""
        print(json.dumps(plan), flush=True)


class Lines:
    """A line per node when its state changes, and every second while its clients leave."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, float]] = {}
        self._plan = ""

    def show(self, plan: Plan) -> None:
        """See Screen."""
        about = f"{plan['kind'].lower()} {plan['id']}: {plan['state'].lower()} {plan['note']}".rstrip()
        if about != self._plan:
            self._plan = about
            print(about, flush=True)
        now = time.monotonic()
        for step in plan["steps"]:
            state, at = self._shown.get(step["node"], ("PENDING", -math.inf))
            moving = step["state"] == "SENDING" and now - at >= _LINE_INTERVAL_S
            if step["state"] != state or moving:
                self._shown[step["node"]] = (step["state"], now)
                print(f"  {step['node']}: {words(plan, step)}", flush=True)


class Bars:
    """A bar per node.

    Attributes:
        progress: to be entered while plans are shown.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.progress = Progress(
            TextColumn("{task.fields[node]}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._note = ""

    def show(self, plan: Plan) -> None:
        """See Screen."""
        if plan["note"] and plan["note"] != self._note:
            self._note = plan["note"]
            self.progress.print(self._note, highlight=False, markup=False)
        for step in plan["steps"]:
            node = step["node"]
            if node not in self._tasks:
                self._tasks[node] = self.progress.add_task("", node=node, words="")
            gone, total = amounts(plan, step)
            done = step["state"] in ("DONE", "RETURNING")
            self.progress.update(
                self._tasks[node],
                total=total or 1,
                completed=(total or 1) if done else gone,
                words=words(plan, step),
            )
