"""Programs under Node in tests/integration/js: told what to do on stdin, heard on stdout, JSON lines both."""

import itertools
import json
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.integration.events import Events, Failed
from tests.patience import PATIENCE_S

FOLDER = Path(__file__).parent / "js"
NODE = shutil.which("node") or ""
INSTALLED = (FOLDER / "node_modules").is_dir()

# For `pytestmark` of modules that run these programs.
NEEDS_NODE = [
    pytest.mark.sdk,
    pytest.mark.skipif(not NODE, reason="no `node` on the PATH"),
    pytest.mark.skipif(not INSTALLED, reason="run `npm ci` in tests/integration/js first"),
]


class Program(Events):
    """A program and its events; leaving the context ends it.

    Args:
        script: in the folder of the programs.
        *arguments: of its command line.
    """

    def __init__(self, script: str, *arguments: str) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self._process = subprocess.Popen(
            [NODE, script, *arguments], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def do(self, command: str, **fields: Any) -> Any:
        """Give it a command and return its answer; raises Failed."""
        number = next(self._ids)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, "id": number, **fields}) + "\n")
        self._process.stdin.flush()
        answer = self.expect("answer", id=number)
        if "code" in answer:
            raise Failed(answer["code"], answer["message"])
        return answer.get("result")

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
