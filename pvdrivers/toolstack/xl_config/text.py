"""Text of a configuration file that knows where each of its characters stands."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pvdrivers.ring.errors import UsageError


class Place(NamedTuple):
    """Lines and columns count from 1."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


class ConfigError(UsageError):
    """What is wrong in a configuration, in one sentence that begins with its place."""

    def __init__(self, place: Place, message: str) -> None:
        letters = f"{place}: {message}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in letters))
        self.place = place


class Note(NamedTuple):
    """What is said of a configuration that is taken."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class Run(NamedTuple):
    """From `start` of the text on, one character of the file stands for each of the text."""

    start: int
    place: Place


@dataclass(frozen=True, slots=True)
class Atom:
    """A string or number. Its escapes are gone from `text`, so that `runs` say what stood where."""

    text: str
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, text: str, source: str = "command line") -> Atom:
        """What does not come from a file."""
        return cls(text, (Run(0, Place(source, 1, 1)),))

    @classmethod
    def join(cls, atoms: Iterable[Atom]) -> Atom:
        """As `+=` joins strings."""
        texts: list[str] = []
        runs: list[Run] = []
        length = 0
        for atom in atoms:
            texts.append(atom.text)
            runs.extend(Run(length + start, place) for start, place in atom.runs)
            length += len(atom.text)
        return cls("".join(texts), tuple(runs))

    @property
    def place(self) -> Place:
        return self.runs[0].place

    def place_of(self, index: int) -> Place:
        """Where the character at `index` stands."""
        run = self.runs[self._runs_before(index + 1) - 1]
        return run.place._replace(column=run.place.column + index - run.start)

    def part(self, start: int, end: int) -> Atom:
        """The text from `start` to before `end`."""
        inner = self.runs[self._runs_before(start + 1) : self._runs_before(end)]
        moved = [Run(run.start - start, run.place) for run in inner]
        return Atom(self.text[start:end], (Run(0, self.place_of(start)), *moved))

    def _runs_before(self, index: int) -> int:
        """How many begin before it."""
        return bisect.bisect_left(self.runs, index, key=lambda run: run.start)

    def check_length(self, what: str, longest: int) -> None:
        """ConfigError: it is longer, and would take long to parse."""
        if len(self.text) > longest:
            raise self.error(f"{what} has at most {longest} characters, this has {len(self.text)}")

    def error(self, message: str, index: int = 0) -> ConfigError:
        return ConfigError(self.place_of(index), message)
