"""Which steps there are, and which machine runs them: read from the files, for they run in dom0
alone."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterable
from pathlib import Path
from typing import cast

STEPS = Path(__file__).parent / "payload" / "steps"
DECORATORS = ("step", "on_request")


class ChoiceError(Exception):
    """There is no such step."""


def steps_of(path: Path, decorators: Iterable[str] = DECORATORS) -> list[str]:
    """The names of a file's steps, in the order in which they run."""
    return [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(d, ast.Name) and d.id in decorators for d in node.decorator_list)
    ]


def machines() -> dict[str, tuple[str, ...]]:
    """The files whose steps each machine runs."""
    found = runpy.run_path(str(STEPS / "__init__.py"))["MACHINES"]
    return cast(dict[str, tuple[str, ...]], found)


def choose(names: list[str]) -> dict[str, list[str]]:
    """The steps of each machine: those that names of files and of steps stand for, on one; without
    a name all that do not wait to be named. ChoiceError says what can be chosen."""
    if not names:
        return {
            machine: [name for file in files for name in steps_of(STEPS / f"{file}.py", ["step"])]
            for machine, files in machines().items()
        }
    files = {path.stem: steps for path in sorted(STEPS.glob("*.py")) if (steps := steps_of(path))}
    known = {step: [step] for steps in files.values() for step in steps} | files
    for name in names:
        if name not in known:
            listed = "; ".join(f"{file} ({', '.join(steps)})" for file, steps in files.items())
            raise ChoiceError(f"no step is called {name}; choose files or steps of: {listed}")
    return {next(iter(machines())): [step for name in names for step in known[name]]}
