"""The ratios of earlier runs: a file with a line of JSON for each."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

import pvdrivers
from pvdrivers.tools.pvbench.compare.model import Row
from pvdrivers.tools.pvbench.compare.system import System
from pvdrivers.tools.pvbench.errors import OptionError

DIGITS = 4  # that are significant


class Entry(Struct, frozen=True):
    commit: str  # of the folder that holds the file; the package's version where git has no answer
    when: str  # ISO 8601, UTC
    ratios: dict[str, float]  # by row; the first entries hold the values of rows without one too
    values: dict[str, float] = {}  # by row without a baseline, in the row's unit
    spreads: dict[str, tuple[float, float]] = {}  # by row; the first entries have none,
    system: System | None = None  # nor this
    doubts: dict[str, str] = {}  # by row: why its figures say little

    def judged(self, name: str) -> float | None:
        """What has the row's target: its ratio, or without a baseline its value."""
        return self.ratios.get(name, self.values.get(name))


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return pvdrivers.__version__
    return described.stdout.strip()


def read_history(path: Path) -> list[Entry]:
    """All entries, the oldest first; none when there is no file. Raises OptionError."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return [msgspec.json.decode(line, type=Entry) for line in lines]
    except msgspec.DecodeError as error:
        raise OptionError(f"{path} is no history: {error}") from None


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def append_ratios(path: Path, rows: Sequence[Row], system: System) -> Entry | None:
    """Adds the ratios of this run, when anything was measured. Raises OptionError."""
    ratios = {row.name: _rounded(row.ratio) for row in rows if row.ratio is not None}
    values = {
        row.name: _rounded(row.value) for row in rows if row.value is not None and not row.baseline
    }
    if not ratios and not values:
        return None
    spreads = {
        row.name: (_rounded(row.spread[0]), _rounded(row.spread[1])) for row in rows if row.spread
    }
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    doubts = {row.name: row.doubt for row in rows if row.doubt}
    commit = _commit(path.absolute().parent)
    entry = Entry(commit, when, ratios, values, spreads, system, doubts)
    try:
        before = path.read_bytes() if path.exists() else b""
        begin = b"\n" if before and not before.endswith(b"\n") else b""
        with path.open("ab") as file:
            file.write(begin + msgspec.json.encode(entry) + b"\n")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from None
    return entry
