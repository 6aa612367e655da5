"""A program in Go that speaks HTTP/3 by quic-go, built when Go and its modules are there."""

import json
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.integration.cluster import API_KEY
from tests.integration.events import Events
from tests.patience import PATIENCE_S

FOLDER = Path(__file__).parent / "go_http3"
GO = shutil.which("go") or ""


def build(directory: Path) -> Path:
    """The program; skips the test where it cannot be built."""
    if not GO:
        pytest.skip("no `go` on the PATH")
    program = directory / "go_http3"
    fetched = subprocess.run(
        [GO, "mod", "download"], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300
    )
    if fetched.returncode:
        pytest.skip(f"quic-go cannot be fetched: {fetched.stderr.strip()[-200:]}")
    subprocess.run([GO, "build", "-o", str(program), "."], cwd=FOLDER, check=True, timeout=600)
    return program


class GoHttp3(Events):
    """One client; its requests have numbers, and their answers are events: status, line, end, failed.

    Args:
        program: from `build`.
        ca_pem: whom it trusts.
    """

    def __init__(self, program: Path, ca_pem: Path) -> None:
        super().__init__()
        self._asked = -1
        self._process = subprocess.Popen(
            [str(program), str(ca_pem), API_KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, method: str, url: str, body: str = "") -> int:
        """Send a request; returns its number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{method} {url} {body}\n")
        self._process.stdin.flush()
        self._asked += 1
        return self._asked

    def ask(self, method: str, url: str, body: str = "") -> tuple[str, str]:
        """A request and its answer: version and status, and the last line of its body."""
        number = self.begin(method, url, body)
        status = self.expect("status", number=number)["text"]
        self.expect("end", number=number)
        lines = [event["text"] for event in self.left("line") if event["number"] == number]
        return status, lines[-1] if lines else ""

    def line(self, number: int, part: str) -> str:
        """The first line of an answer that has this, as soon as it has come; the ones before are taken."""
        while part not in (text := str(self.expect("line", number=number)["text"])):
            pass
        return text

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.tell(**json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        # The end of its stdin is the end of the program.
        process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            self._reader.join()
            process.stdout.close()
