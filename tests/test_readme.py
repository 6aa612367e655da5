"""What README shows can be used as it stands."""

import re
from pathlib import Path

import pytest

from deploy.cli import COMMANDS
from node.config.load import load

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_configuration_it_shows_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every YAML block loads: no option renamed, no relation broken; the files they name are there."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "node.yaml"
        file.write_text(block)
        for name in re.findall(r"\S+\.pem", block):
            (tmp_path / name).touch()
        load(file, {})


def test_the_programs_it_shows_compile() -> None:
    """Every Python block can be pasted as it stands: nothing in it is a placeholder or typography."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        assert block.isascii()
        compile(block, "README.md", "exec")


def test_the_commands_it_names_exist() -> None:
    """Nobody is sent to a command that is not there, and none is left out."""
    named = set(re.findall(r"\./broadcast ([a-z-]+)", README))
    assert named == set(COMMANDS)
