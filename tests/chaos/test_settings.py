"""Tests of `chaos.settings`."""

from pathlib import Path

from chaos.settings import Settings, make_directory


def test_no_run_writes_over_another(tmp_path: Path) -> None:
    """Each run has a directory of its own, beside the one that was asked for if that is used."""
    settings = Settings(name="x", report=str(tmp_path / "report"))
    first = make_directory(settings)
    assert make_directory(settings) == first == tmp_path / "report"
    (first / "history.jsonl").touch()
    second = make_directory(settings)
    assert second == tmp_path / "report-2"
    (second / "history.jsonl").touch()
    assert make_directory(settings) == tmp_path / "report-3"
