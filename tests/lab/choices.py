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


def xen_arguments() -> dict[str, str]:
    """What Xen is told besides, by machine."""
    found = runpy.run_path(str(STEPS / "__init__.py"))["XEN_ARGUMENTS"]
    return cast(dict[str, str], found)


def machine_for(file: str) -> str:
    """The one on which the steps of a file run when they are named: the first one, unless they
    need another Xen."""
    (own,) = (name for name, files in machines().items() if file in files)
    return own if own in xen_arguments() else next(iter(machines()))


def choose(names: list[str]) -> dict[str, list[str]]:
    """The steps of each machine: those that names of files and of steps stand for, on as few as
    can be; without a name all that do not wait to be named. ChoiceError says what can be chosen."""
    if not names:
        every = {
            machine: [name for file in files for name in steps_of(STEPS / f"{file}.py", ["step"])]
            for machine, files in machines().items()
        }
        return {machine: steps for machine, steps in every.items() if steps}
    files = {path.stem: steps for path in sorted(STEPS.glob("*.py")) if (steps := steps_of(path))}
    known = {step: (file, [step]) for file, steps in files.items() for step in steps}
    known |= {file: (file, steps) for file, steps in files.items()}
    chosen: dict[str, list[str]] = {}
    for name in names:
        if name not in known:
            listed = "; ".join(f"{file} ({', '.join(steps)})" for file, steps in files.items())
            raise ChoiceError(f"no step is called {name}; choose files or steps of: {listed}")
        file, steps = known[name]
        chosen.setdefault(machine_for(file), []).extend(steps)
    return chosen
