"""From a domain's memory to a program that runs in it.

The kernel's command line, in start_info, names the program: `pvguest PROGRAM ARGUMENT…`. A domain
whose command line begins otherwise runs something else.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pvdrivers.guest.kernel import Kernel, Program
from pvdrivers.guest.programs import PROGRAMS
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.toolstack.domain_builder import read_start_info

KERNEL = "pvguest"
MAIN = "main"  # in a user's file


def command_line(program: str, arguments: Sequence[str] = ()) -> str:
    """What a toolstack writes for a guest that runs `program`: the name of one of PROGRAMS, or a
    Python file with a coroutine function `main(kernel)`. UsageError: there is no such program."""
    if program in PROGRAMS:
        return shlex.join([KERNEL, program, *arguments])
    path = Path(program)
    if not path.is_file():
        raise UsageError(
            f"{program}: no such program; there are {', '.join(PROGRAMS)}, and Python files"
        )
    return shlex.join([KERNEL, str(path.absolute()), *arguments])


def is_for_us(line: str) -> bool:
    """Whether a command line is one of such a guest."""
    return line.split(" ", 1)[0] == KERNEL


def find_program(name: str) -> Program:
    """UsageError: there is none of this name, or the file has no coroutine function `main`."""
    if name in PROGRAMS:
        return PROGRAMS[name]
    spec = importlib.util.spec_from_file_location("pvguest_program", name)
    if spec is None or spec.loader is None or not os.path.isfile(name):
        raise UsageError(f"{name}: no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program: Program | None = getattr(module, MAIN, None)
    if program is None:
        raise UsageError(f"{name}: it has no coroutine function {MAIN}(kernel)")
    return program


async def boot(machine_socket: str, domid: int) -> None:
    """Runs the domain's program to its end in this process."""
    machine = Machine.attach(machine_socket)
    domain = machine.domain(domid)
    line = read_start_info(domain, domain.hypervisor).command_line
    _, name, *arguments = shlex.split(line)
    async with Kernel(machine, domid, tuple(arguments)) as kernel:
        await kernel.run(find_program(name))
