"""Options as they are written: on a command line as fio takes it, or in a job file."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_type_hints

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.run_options import RunOptions
from pvdrivers.tools.pvbench.vbd.fio_absent import FLAGS, WHY_IGNORED, WHY_REFUSED
from pvdrivers.tools.pvbench.vbd.options import Options

Settings = dict[str, str | None]  # by option, as written; None: no value

ALIASES = {
    "blocksize": "bs",
    "blocksize_range": "bsrange",
    "fileoffset": "offset",
    "io_limit": "io_size",
    "readwrite": "rw",
    "timeout": "runtime",
    "wait_for_previous": "stonewall",
}
OPTIONAL_VALUE = {"write_bw_log", "write_iops_log", "write_lat_log"}
OF_A_JOB = {each.name for each in fields(Options)} - {"given"}
OF_A_RUN = {each.name for each in fields(RunOptions)}
_BOOLEANS = {
    name
    for table in (Options, RunOptions)
    for name, kind in get_type_hints(table).items()
    if kind is bool
}


@dataclass
class Section:
    """A job, or what is common to those behind it."""

    settings: Settings
    common: bool = False
    source: str = ""  # for messages


@dataclass
class CommandLine:
    run: Settings = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def canonical(name: str) -> str:
    name = name.replace("-", "_")
    return ALIASES.get(name, name)


def explain_unknown(name: str, shown: str) -> OptionError:
    """`shown`: as the user wrote it."""
    if name in WHY_REFUSED:
        return OptionError(f"{shown} is not supported: {WHY_REFUSED[name]}")
    close = difflib.get_close_matches(name, OF_A_JOB | OF_A_RUN | set(ALIASES), 1, cutoff=0.75)
    dashes = "--" if shown.startswith("--") else ""
    hint = (
        f"did you mean {dashes}{close[0]}?" if close else "pvbench vbd --help lists all there are"
    )
    return OptionError(f"{shown} is no option: {hint}")


def ignored(name: str) -> str | None:
    """What is said of an option of fio that changes nothing here."""
    why = WHY_IGNORED.get(name)
    return None if why is None else f"{name} is ignored: {why}"


class _Reader:
    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)
        self.line = CommandLine()
        self.notes: list[str] = []
        self._current: Settings = {}
        self.line.sections.append(Section(self._current, common=True))

    def read(self) -> None:
        while self._tokens:
            token = self._tokens.pop(0)
            if not token.startswith("-") or token == "-":
                self.line.files.append(Path(token))
            elif token == "--":
                self.line.files += map(Path, self._tokens)
                return
            else:
                self._option(token)

    def _option(self, token: str) -> None:
        name, equals, text = token.lstrip("-").partition("=")
        shown, name = f"--{name}", canonical(name)
        value = text if equals else None
        if name.startswith("no_") and canonical(name[3:]) in _BOOLEANS and value is None:
            name, value = canonical(name[3:]), "0"
        note = ignored(name)
        if name not in OF_A_JOB | OF_A_RUN and note is None:
            raise explain_unknown(name, shown)
        if value is None:
            value = self._value(name, shown)
        if note:
            self.notes.append(note)
        elif name in OF_A_RUN:
            self.line.run[name] = value
        else:
            if name == "name":
                self._current = {}
                self.line.sections.append(Section(self._current))
            self._current[name] = value

    def _value(self, name: str, shown: str) -> str | None:
        """What follows an option without "="."""
        following = self._tokens[0] if self._tokens else "-"
        if name in _BOOLEANS | FLAGS:
            return self._tokens.pop(0) if following in ("0", "1") else None
        if following.startswith("-"):
            if name in OPTIONAL_VALUE:
                return None
            raise OptionError(f"{shown} needs a value")
        return self._tokens.pop(0)


def read_command_line(tokens: Sequence[str]) -> tuple[CommandLine, list[str]]:
    """Its options, and what is to be said of those ignored. Raises OptionError."""
    reader = _Reader(tokens)
    reader.read()
    return reader.line, list(dict.fromkeys(reader.notes))


def as_given(settings: Settings) -> dict[str, str]:
    """For the report: what has no value is switched on."""
    return {name: "1" if value is None else value for name, value in settings.items()}


def tokens(settings: Settings) -> list[str]:
    """Settings as cyclopts takes them."""
    words = []
    for name, value in settings.items():
        if value is None and name in OPTIONAL_VALUE:
            value = ""
        words.append(f"--{name}" if value is None else f"--{name}={value}")
    return words
