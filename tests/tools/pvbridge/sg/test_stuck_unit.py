"""Commands that do not end by themselves: through the ring, they are aborted."""

from __future__ import annotations

import asyncio

import pytest

from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.logical_unit import Done
from pvdrivers.backends.targets.operations import operation
from pvdrivers.scsi.result import HostByte
from pvdrivers.tools.pvbridge.luns import LunSpec

from .conftest import Machine, python

STUCK = 0xC0


class Stuck(EmulatedUnit):
    """It begins a command of opcode C0h and never ends it, unless it is aborted."""

    device_type = 0
    may_block = False

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.aborted = asyncio.Event(), asyncio.Event()

    def start(self, command: Command, done: Done) -> None:
        if command.cdb[0] == STUCK:
            self.begun.set()
        else:
            super().start(command, done)

    def abort(self, command: Command) -> bool:
        self.aborted.set()
        return True

    @operation(0x00, "TEST UNIT READY", "00 00 00 00 00 07")
    def test_unit_ready(self, command: Command) -> None:
        return None

    @operation(0x12, "INQUIRY", "12 01 ff ff ff 07")
    def inquiry(self, command: Command) -> Answer:
        return Answer(data=bytes(36))

    def __repr__(self) -> str:
        return "<Stuck>"


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> list[Stuck]:
    """What is opened instead of a disk in memory."""
    opened: list[Stuck] = []

    def open_(spec: LunSpec, *drives: object) -> Stuck:
        opened.append(Stuck())
        return opened[-1]

    monkeypatch.setattr(LunSpec, "open", open_)
    return opened


def test_a_timeout(machine: Machine, unit: list[Stuck]) -> None:
    async def main() -> None:
        async with machine("0=ram:1M") as programs:
            await programs.python(f"""
fd = os.open("/dev/pvsg/guest/0:0:0:0", os.O_RDWR)
command = Command("c0 00 00 00 00 00", 512, timeout=100).execute(fd)
assert command.host_status == {int(HostByte.TIME_OUT)}
assert (command.status, command.driver_status, command.resid) == (0, 0, 512)
assert command.info == 1 and command.duration >= 100
assert Command("00 00 00 00 00 00").execute(fd).info == 0
""")
            assert unit[0].aborted.is_set()

    asyncio.run(main())


def test_a_program_that_is_killed(machine: Machine, unit: list[Stuck]) -> None:
    program = """
fd = os.open("/dev/pvsg/guest/0:0:0:0", os.O_RDWR)
Command("c0 00 00 00 00 00").execute(fd)
"""

    async def main() -> None:
        async with machine("0=ram:1M") as programs:
            process = await programs.start(*python(program))
            await unit[0].begun.wait()
            process.kill()
            await process.wait()
            await unit[0].aborted.wait()
            await programs.run("sg_turs", "/dev/pvsg/guest/0:0:0:0")

    asyncio.run(main())
