"""Tests of `broadcast chaos` and its screen as far as no cluster is needed."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from chaos.checkers.verdict import Verdict
from chaos.runner import Outcome, View
from chaos.settings import Settings
from chaos.workload.spec import Status
from deploy.chaos_screen import Lines, LiveScreen, summary
from deploy.cli import main

STATUS = Status(300, 298, 5000, 400, 310, 2, 0.004, 0.12, idle=False)


def view(elapsed_s: float, phase: str = "faults", step: str = "let it run") -> View:
    return View(elapsed_s, phase, ("node-kill node-1",), step, STATUS, 2000.0)


def test_list_names_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    """A name and what it is about, for people and as JSON."""
    assert main(["chaos", "list"]) == 0
    assert "node-crash" in capsys.readouterr().out
    assert main(["chaos", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["node-crash"].startswith("A node dies")


def test_an_unknown_experiment_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence says what would have worked."""
    assert main(["chaos", "run", "node-crush"]) == 1
    assert "there is no experiment node-crush; there are" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["chaos"], ["chaos", "run"], ["chaos", "run", "x", "--duration", "soon"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """As with every command."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be run in a pod: settings and options."""
    found: list[Any] = []

    def note(path: Path, settings: Settings, options: list[str], namespace: str) -> int:
        found.extend((settings, options, namespace))
        return 0

    monkeypatch.setattr("deploy.chaos_pod.run_in_pod", note)
    return found


def type_in(monkeypatch: pytest.MonkeyPatch, *typed: str) -> int:
    monkeypatch.setattr("sys.argv", ["broadcast", *typed])
    return main(list(typed))


def test_the_experiment_may_stand_behind_its_options(
    monkeypatch: pytest.MonkeyPatch, noted: list[Any]
) -> None:
    """What is asked of the pod is the same."""
    options = ["--seed", "3", "--target", "kubernetes"]
    assert type_in(monkeypatch, "chaos", "run", *options, "rollout") == 0
    assert type_in(monkeypatch, "chaos", "run", "rollout", *options) == 0
    assert noted[1] == noted[4] == options


@pytest.mark.parametrize("typed", [["--api-key", "s3cret"], ["--api-key=s3cret"], ["--api", "s3cret"]])
def test_a_report_does_not_show_the_key(
    monkeypatch: pytest.MonkeyPatch, noted: list[Any], typed: list[str]
) -> None:
    """It says how to run it again, and is shown to others."""
    type_in(monkeypatch, "chaos", "run", "rollout", "--target", "kubernetes", *typed)
    settings, options, _ = noted
    assert "s3cret" not in settings.command
    assert "KEY" in settings.command
    assert options[-1].endswith("s3cret")


def test_lines_say_what_changed() -> None:
    """A new phase or step has a line at once, the same only every five seconds."""
    stream = io.StringIO()
    with Lines(stream) as lines:
        for each in (view(1), view(1.5), view(2, step="heal"), view(3, step="heal"), view(8, step="heal")):
            lines.show(each)
    written = stream.getvalue().splitlines()
    assert len(written) == 3
    assert "faults node-kill node-1" in written[0]
    assert "clients 298/300" in written[0]


def test_the_live_view_draws(capsys: pytest.CaptureFixture[str]) -> None:
    """Phase, faults, clients and the harness's own load are on the screen."""
    with LiveScreen("A node dies") as screen:
        screen.show(view(1))
    drawn = capsys.readouterr().out
    assert "A node dies" in drawn
    assert "node-kill node-1" in drawn


def test_the_summary_ends_with_the_verdict_and_the_report() -> None:
    """Every checker has a line; what the experiment itself found wrong is there too."""
    verdicts = [Verdict("lost", "valid", "nothing wrong"), Verdict("late", "unknown", "nobody was late")]
    text = summary(Outcome("unknown", verdicts, ["before: x"], Path("d"), Path("d/report.html")))
    assert text.splitlines()[0].startswith("valid    lost")
    assert "failed   before: x" in text
    assert text.endswith("unknown; d/report.html")
