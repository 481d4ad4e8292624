"""Options as they are written: on a command line as fio takes it, or in a job file."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_type_hints

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.options import JobOptions, rules
from pvdrivers.tools.pvbench.job.run_options import RunOptions

Settings = dict[str, str | None]  # by option, as written; None: no value


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


class OptionTable:
    """All options of a command: of its jobs and of a whole run, and fio's that are not here.

    `ignored` and `refused` say why, by name; `flags` are those of `ignored` without a value.
    """

    def __init__(
        self,
        command: str,
        job: type[JobOptions],
        run: type[RunOptions],
        *,
        ignored: Mapping[str, str],
        refused: Mapping[str, str],
        flags: Collection[str],
    ) -> None:
        self.command = command
        self.rules = rules(job)
        self.of_a_job = set(self.rules) - {"given"}
        self.of_a_run = {each.name for each in fields(run)}
        self.aliases = {a: name for name, rule in self.rules.items() for a in rule.aliases}
        hints = get_type_hints(job) | get_type_hints(run)
        self.booleans = {name for name, kind in hints.items() if kind is bool}
        self.ignored = ignored
        self.refused = refused
        self.flags = flags

    def __contains__(self, name: str) -> bool:
        return name in self.of_a_job or name in self.of_a_run

    def canonical(self, name: str) -> str:
        name = name.replace("-", "_")
        return self.aliases.get(name, name)

    def explain_unknown(self, name: str, shown: str) -> OptionError:
        """`shown`: as the user wrote it."""
        if name in self.refused:
            return OptionError(f"{shown} is not supported: {self.refused[name]}")
        known = self.of_a_job | self.of_a_run | set(self.aliases)
        close = difflib.get_close_matches(name, known, 1, cutoff=0.75)
        dashes = "--" if shown.startswith("--") else ""
        hint = f"did you mean {dashes}{close[0]}?" if close else f"{self.command} --help lists all"
        return OptionError(f"{shown} is no option: {hint}")

    def ignores(self, name: str) -> str | None:
        """What is said of an option of fio that changes nothing here."""
        why = self.ignored.get(name)
        return None if why is None else f"{name} is ignored: {why}"

    def tokens(self, settings: Settings) -> list[str]:
        """Settings as cyclopts takes them."""
        words = []
        for name, value in settings.items():
            if value is None and name in self.rules and self.rules[name].optional_value:
                value = ""
            words.append(f"--{name}" if value is None else f"--{name}={value}")
        return words


class _Reader:
    def __init__(self, tokens: Sequence[str], table: OptionTable) -> None:
        self._tokens = list(tokens)
        self._table = table
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
        shown, name = f"--{name}", self._table.canonical(name)
        value = text if equals else None
        positive = self._table.canonical(name.removeprefix("no_"))
        if name.startswith("no_") and positive in self._table.booleans and value is None:
            name, value = positive, "0"
        note = self._table.ignores(name)
        if name not in self._table and note is None:
            raise self._table.explain_unknown(name, shown)
        if value is None:
            value = self._value(name, shown)
        if note:
            self.notes.append(note)
        elif name in self._table.of_a_run:
            self.line.run[name] = value
        else:
            if name == "name":
                self._current = {}
                self.line.sections.append(Section(self._current))
            self._current[name] = value

    def _value(self, name: str, shown: str) -> str | None:
        """What follows an option without "="."""
        following = self._tokens[0] if self._tokens else "-"
        if name in self._table.booleans or name in self._table.flags:
            return self._tokens.pop(0) if following in ("0", "1") else None
        if following.startswith("-"):
            if name in self._table.rules and self._table.rules[name].optional_value:
                return None
            raise OptionError(f"{shown} needs a value")
        return self._tokens.pop(0)


def read_command_line(tokens: Sequence[str], table: OptionTable) -> tuple[CommandLine, list[str]]:
    """Its options, and what is to be said of those ignored. Raises OptionError."""
    reader = _Reader(tokens, table)
    reader.read()
    return reader.line, list(dict.fromkeys(reader.notes))


def as_given(settings: Settings) -> dict[str, str]:
    """For the report: what has no value is switched on."""
    return {name: "1" if value is None else value for name, value in settings.items()}
