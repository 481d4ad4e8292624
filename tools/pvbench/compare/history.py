"""The ratios of earlier runs: a file with a line of JSON for each."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

import pvdrivers
from pvdrivers.tools.pvbench.compare.model import Row
from pvdrivers.tools.pvbench.errors import OptionError


class Entry(Struct, frozen=True):
    commit: str  # of the folder that holds the file; the package's version where git has no answer
    when: str  # ISO 8601, UTC
    ratios: dict[str, float]  # by row


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


def append_ratios(path: Path, rows: Sequence[Row]) -> Entry | None:
    """Adds the ratios of this run, when anything was measured. Raises OptionError."""
    ratios = {row.name: round(row.ratio, 4) for row in rows if row.ratio is not None}
    if not ratios:
        return None
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = Entry(_commit(path.absolute().parent), when, ratios)
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from None
    return entry
