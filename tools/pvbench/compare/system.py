"""The machine that a comparison was measured on, and the programs it has."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, field

from pvdrivers.tools.pvbench.compare.model import Comparison

PATIENCE = 10.0  # seconds for a program to say its version


class System(Struct, frozen=True):
    """What figures depend on besides the code."""

    processor: str  # its model, as the kernel names it
    processors: int  # that this process may use
    kernel: str
    programs: dict[str, str] = field(name="peers")  # version, by program


def processor_model(cpuinfo: str) -> str:
    """Of the first processor in /proc/cpuinfo; the architecture where the kernel names no model."""
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return named[1].strip() if named else os.uname().machine


def version(program: str) -> str:
    """The first version number in what a program says of itself, or `unknown`."""
    command = [program, "--version"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    number = re.search(r"\d+(\.\d+)+", said)
    return number[0] if number else "unknown"


def this_system(measured: Iterable[Comparison]) -> System:
    """`measured`: whose programs are named."""
    programs = {need.program for each in measured for need in each.needs if need.program}
    return System(
        processor_model(Path("/proc/cpuinfo").read_text()),
        len(os.sched_getaffinity(0)),
        f"{os.uname().sysname} {os.uname().release}",
        {Path(program).name: version(program) for program in sorted(programs)},
    )


def sentence(system: System) -> str:
    """In words, short."""
    count = f"{system.processors} processor{'s' * (system.processors != 1)}"
    programs = [f"{program} {number}" for program, number in system.programs.items()]
    return ", ".join([system.processor, count, system.kernel, *programs])
