"""What a logical unit knows outlives its process, and ends when nobody uses the unit any more."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.scsi.units import Units, journal_name
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.stores.store import FileStore, RamStore
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.testing.scsi.loopback import ScsiLoopback

AT = ScsiAddress(0, 0, 0, 0)
BLOCK = 512
COMPARE_AND_WRITE = bytes.fromhex("89 00 0000000000000000 000000 01 00 00")
REGISTER = bytes.fromhex("5f 00 00 00 00 00 00 00 18 00")
RESERVE = bytes.fromhex("5f 01 03 00 00 00 00 00 18 00")
READ_KEYS = bytes.fromhex("5e 00 00 00 00 00 00 01 00 00")
READ_RESERVATION = bytes.fromhex("5e 01 00 00 00 00 00 01 00 00")
KEY = b"guest  1"


def disk(image: str) -> Disk:
    return Disk(FileStore(image), Identity.of("kept"))


def value(number: int) -> bytes:
    return number.to_bytes(8, "big") * (BLOCK // 8)


@pytest.mark.slow
def test_kills_in_a_chain_of_compare_and_writes(tmp_path: Path) -> None:
    """Each goes by what the one before has written: one that is done twice, or not at all, is a
    MISCOMPARE. A registration and a reservation are there to the end."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        parameters = bytes(8) + KEY + bytes(8)
        assert (await frontend.execute(AT, REGISTER, parameters)).good
        parameters = KEY + bytes(16)
        assert (await frontend.execute(AT, RESERVE, parameters)).good

        async def chain(first: int, count: int) -> None:
            for number in range(first, first + count):
                data = value(number) + value(number + 1)
                result = await frontend.execute(AT, COMPARE_AND_WRITE, data)
                assert result.good, (number, result, result.parsed_sense)

        for kill in range(5):
            running = asyncio.create_task(chain(kill * 40, 40))
            for _ in range(kill):  # at different places of a command's way
                await asyncio.sleep(0)
            loopback.kill_backend()
            loopback.restart_backend()
            await running
        keys = await frontend.execute(AT, READ_KEYS, room=256)
        assert KEY in keys.data
        reservation = await frontend.execute(AT, READ_RESERVATION, room=256)
        assert KEY in reservation.data
        assert frontend.reissued == 0

    units = {"disk": partial(disk, str(image))}
    with ScsiLoopback(units, mode="processes") as loopback:
        loopback.run(scenario)
    assert image.read_bytes()[:BLOCK] == value(5 * 40)


@pytest.mark.parametrize("for_good", [True, False])
def test_a_journal_ends_with_the_last_user_for_good(tmp_path: Path, for_good: bool) -> None:
    async def open_disk() -> Disk:
        return Disk(RamStore(1 << 20), Identity.of("kept"))

    async def main() -> None:
        state = StateDirectory(tmp_path / "state")
        units = Units(lambda: state)
        for _ in range(2):
            await units.acquire("a", open_disk)
        await units.release("a")
        assert journal_name("a") in state.names()  # another uses it still
        await units.release("a", for_good)
        assert (journal_name("a") in state.names()) is not for_good

    asyncio.run(main())
