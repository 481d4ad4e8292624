"""Which steps there are: read from the files, for they run in dom0 alone."""

from __future__ import annotations

import ast
from pathlib import Path

STEPS = Path(__file__).parent / "payload" / "steps"
DECORATORS = {"step", "on_request"}


class ChoiceError(Exception):
    """There is no such step."""


def steps_of(path: Path) -> list[str]:
    """The names of a file's steps, in the order in which they run."""
    return [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(d, ast.Name) and d.id in DECORATORS for d in node.decorator_list)
    ]


def choose(names: list[str]) -> list[str]:
    """Names of files and of steps as names of steps. ChoiceError says what can be chosen."""
    files = {path.stem: steps for path in sorted(STEPS.glob("*.py")) if (steps := steps_of(path))}
    known = {step: [step] for steps in files.values() for step in steps} | files
    for name in names:
        if name not in known:
            listed = "; ".join(f"{file} ({', '.join(steps)})" for file, steps in files.items())
            raise ChoiceError(f"no step is called {name}; choose files or steps of: {listed}")
    return [step for name in names for step in known[name]]
