"""Scenarios in words, what comes of them, and the command."""

import subprocess
import sys
from pathlib import Path

from pvdrivers.tools.pvsim.result import Result
from pvdrivers.tools.pvsim.scenario import parse
from pvdrivers.tools.pvsim.simulation import simulation

PVSIM = [sys.executable, "-m", "pvdrivers.tools.pvsim"]


def guest(name: str, workload: str, **settings: int) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return f'[[guest]]\nname = "{name}"\nworkload = {{{workload}}}\n{lines}'


def result_of(text: str) -> Result:
    with simulation(parse(text.encode(), "test")) as run:
        return run.run(lambda part: None)


def run_pvsim(folder: Path, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    path = folder / "<scenario>.toml"
    path.write_text(text)
    return subprocess.run([*PVSIM, str(path), *options], capture_output=True, text=True)
