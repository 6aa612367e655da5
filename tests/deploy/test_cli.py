"""Tests of `deploy.cli`: help, usage errors, and how failures are told."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import cli
from deploy.commands import publish
from deploy.errors import UserError

CLI = [sys.executable, "-P", "-m", "deploy.cli"]


def test_help_lists_every_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer sees every command with what it does, and how to begin."""
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in cli.COMMANDS.items():
        assert sum(line.split()[:1] == [name] and entry.summary in line for line in lines) == 1
    assert any(line.startswith("Examples:") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`broadcast COMMAND --help` works for each command."""
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: broadcast {name}")


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing, an unknown command and an unknown option are wrong usage, and the nearest command is named."""
    assert cli.main([]) == 2
    assert cli.main(["pubish"]) == 2
    assert "did you mean `publish`" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        cli.main(["publish", "news", "1", "--nonsense"])
    assert exit_.value.code == 2


def test_failures_are_one_sentence_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the user can set right is exit code 1 without a traceback; Ctrl-C is quiet."""

    def fail(_: object) -> int:
        raise UserError("the moon is in the way")

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "run", fail)
    assert cli.main(["publish", "news", "1"]) == 1
    assert capsys.readouterr().err == "broadcast publish: the moon is in the way\n"

    def interrupt_in_a_nursery(_: object) -> int:
        raise BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt()])])

    for interrupted in (interrupt, interrupt_in_a_nursery):
        monkeypatch.setattr(publish, "run", interrupted)
        assert cli.main(["publish", "news", "1"]) == 130
        assert capsys.readouterr().err == ""


def test_a_defect_is_not_taken_for_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails beside a Ctrl-C is told, with its traceback."""

    def fail(_: object) -> int:
        raise BaseExceptionGroup("", [KeyboardInterrupt(), ZeroDivisionError()])

    monkeypatch.setattr(publish, "run", fail)
    with pytest.raises(BaseExceptionGroup):
        cli.main(["publish", "news", "1"])


def test_help_imports_no_command() -> None:
    """`broadcast --help` answers at once: it loads neither trio nor the node."""
    code = "import sys, deploy.cli; deploy.cli.main(['--help']); print({'trio', 'node'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_reader_that_goes_away_is_no_defect() -> None:
    """`broadcast check-config FILE | head -0` ends without a traceback."""
    config = str(Path(cli.__file__).with_name("development.yaml"))
    command = [*CLI, "check-config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
