"""pvxl as its user has it."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pvdrivers.tools.pvxl.__main__ import main

PVXL = [sys.executable, "-m", "pvdrivers.tools.pvxl"]
PATIENCE = 120.0


class Pvxl:
    """The command, for the host in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """In this process, which has imported it already, or in one of its own for those that have
        children."""
        words = [*map(str, arguments)]
        place = words.index("--") if "--" in words else len(words)
        words.insert(place, f"--host={self.folder}")
        return _in_process(words) if words[0] == "host" else _here(words)

    def __call__(self, *arguments: object) -> str:
        """What it prints; it must end well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: object) -> str:
        """The one sentence by which it refuses."""
        done = self.run(*arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        complaints = [line for line in done.stderr.splitlines() if line.startswith("pvxl: ")]
        assert len(complaints) == 1, done.stderr
        return complaints[0].removeprefix("pvxl: ")

    def domains(self) -> dict[str, str]:
        """The state of each domain, as `pvxl list` has it, by name."""
        lines = self("list").splitlines()[1:]
        # One that is being made has no name yet.
        return {line[:40].strip(): line[40:].split()[3] for line in lines}

    def log(self, domid: int) -> str:
        """What the guest's process has printed."""
        path = self.folder / "guests" / f"{domid}.log"
        return path.read_text() if path.exists() else ""


def _in_process(words: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PVXL, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def _here(words: list[str]) -> "subprocess.CompletedProcess[str]":
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        main(words)
    status = int(ended.value.code or 0)
    return subprocess.CompletedProcess(words, status, output.getvalue(), errors.getvalue())
