"""fio's job files.

A format of its own, though it looks like an ini file: sections may have the same name and [global]
may come again, each for what is behind it; keys may have no value; a comment begins anywhere.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.command_line import OptionTable, Section, Settings

DEEPEST = 16  # files that include each other, as in fio


def read_job_file(path: Path, table: OptionTable, notes: list[str]) -> list[Section]:
    """Its sections, in order. What is to be said of options ignored is added to `notes`. Raises
    OptionError with file and line."""
    sections: list[Section] = []
    for where, text in _lines(path, 0):
        if text.startswith("["):
            name = text[1:-1].strip()
            if not text.endswith("]") or not name:
                raise OptionError(f"{where}: {text!r} is not a section such as [job1]")
            common = name == "global"
            settings: Settings = {} if common else {"name": name}
            sections.append(Section(settings, common, f"{path} [{name}]"))
        elif not sections:
            raise OptionError(f"{where}: there is no section yet; begin with [global] or [job1]")
        else:
            _setting(where, text, sections[-1], table, notes)
    if all(section.common for section in sections):
        raise OptionError(f"{path} has no job: a section such as [job1]")
    return sections


def _setting(where: str, text: str, section: Section, table: OptionTable, notes: list[str]) -> None:
    written, equals, value = text.partition("=")
    name = table.canonical(written.strip())
    note = table.ignores(name)
    if note:
        notes.append(note)
    elif name in table.of_a_run:
        raise OptionError(f"{where}: {name} belongs on the command line")
    elif name not in table.of_a_job:
        raise OptionError(f"{where}: {table.explain_unknown(name, written.strip())}")
    else:
        section.settings[name] = value.strip() if equals else None


def _lines(path: Path, depth: int) -> Iterator[tuple[str, str]]:
    """What is left of each line without comments, with its place."""
    if depth > DEEPEST:
        raise OptionError(f"{path}: more than {DEEPEST} files include each other")
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OptionError(f"{path} cannot be read as a job file: {reason}") from None
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        text = _expand(where, re.split("[#;]", line, maxsplit=1)[0].strip())
        if re.match(r"include\s", text):
            yield from _lines(path.parent / text.split(maxsplit=1)[1], depth + 1)
        elif text:
            yield where, text


def _expand(where: str, text: str) -> str:
    """${NAME} from the environment."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise OptionError(f"{where}: the environment has no {match[1]}")
        return os.environ[match[1]]

    return re.sub(r"\$\{([^}]*)\}", value, text)
