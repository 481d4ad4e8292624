"""The daemon serves a tape library: a changer to one guest, its drives to others."""

from __future__ import annotations

import asyncio
import signal
import struct
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig
from pvdrivers.scsi.hotplug import add_lun, remove_lun
from pvdrivers.scsi.result import Status
from pvdrivers.xenbus.states import XenbusState

from .conftest import PATIENCE, Devices, Hosts, until
from .scsi_guest import FIRST, SECOND, code, good

pytestmark = pytest.mark.slow

LENGTH = 10240
DRIVE, SLOT = 0x100, 0x400
TEST_UNIT_READY = bytes(6)
REWIND = bytes.fromhex("01 00 00 00 00 00")
RESERVE = bytes.fromhex("16 00 00 00 00 00")
RELEASE = bytes.fromhex("17 00 00 00 00 00")
LIBRARY = """
[[scsi]]
lun = "robot"
unit = {{kind = "changer", folder = "{0}", drives = ["lto-1", "lto-2"], slots = 4}}
[[scsi]]
lun = "lto-*"
unit = {{kind = "tape", cartridge = ""}}
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "tapes"
    folder.mkdir()
    for name in ("A00001.tap", "A00002.tap"):
        (folder / name).touch()
    return folder


def move(source: int, destination: int) -> bytes:
    return struct.pack(">BxHHHxxxx", 0xA5, 0, source, destination)


def transfer(opcode: int) -> bytes:
    return bytes((opcode, 0, *LENGTH.to_bytes(3, "big"), 0))


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * (LENGTH // 4)


async def tapes_in_elements(frontend: Any, robot: ScsiAddress) -> dict[int, str]:
    cdb = struct.pack(">BBHHI2x", 0xB8, 0x10, 0, 0xFFFF, 0xFFFF)
    data = (await good(frontend, robot, cdb, room=0xFFFF)).data
    found, place = {}, 8
    while place < len(data):
        _, _, size, length = struct.unpack_from(">BBHI", data, place)
        place += 8
        for start in range(place, place + length, size):
            address, flags = struct.unpack_from(">HB", data, start)
            if flags & 1:
                found[address] = data[start + 12 : start + 44].rstrip(b" \0").decode()
        place += length
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_is_replaced_between_moves_and_blocks(
    pvbackd_scsi: Hosts, library: Path, how: signal.Signals
) -> None:
    """Each move and each block happens once: a move that is done twice finds its source empty, and
    blocks are read in their order. The guests stay Connected."""
    loopback = pvbackd_scsi(LIBRARY.format(library), "robot", "lto-1")
    lives = 4

    async def shuttle(frontend: Any, times: int) -> None:
        """A tape goes from slot to slot through the second drive."""
        for _ in range(times):
            for source, destination in (
                (SLOT + 1, DRIVE + 1),
                (DRIVE + 1, SLOT + 2),
                (SLOT + 2, SLOT + 1),
            ):
                await good(frontend, FIRST, move(source, destination))

    async def write(frontend: Any, first: int, count: int, written: asyncio.Event) -> None:
        for number in range(first, first + count):
            await good(frontend, SECOND, transfer(0x0A), block(number))
            if number == first + 5:
                written.set()

    async def scenario(robot: Any) -> None:
        await good(robot, FIRST, move(SLOT, DRIVE))
        writer = await (await loopback.add_guest()).frontend()
        await good(writer, SECOND, RESERVE)
        for life in range(lives):
            written = asyncio.Event()
            work = [shuttle(robot, 10), write(writer, life * 40, 40, written)]
            using = [asyncio.create_task(each) for each in work]
            async with asyncio.timeout(PATIENCE):
                await written.wait()
            loopback.kill_backend(how)
            loopback.restart_backend()
            await asyncio.gather(*using)
        assert await tapes_in_elements(robot, FIRST) == {DRIVE: "A00001", SLOT + 1: "A00002"}
        await good(writer, SECOND, REWIND)
        for number in range(lives * 40):
            assert (await good(writer, SECOND, transfer(0x08), room=LENGTH)).data == block(number)
        assert await code(writer, SECOND, transfer(0x08)) == "08/00/05"
        assert {robot.state, writer.state} == {XenbusState.CONNECTED}
        assert (robot.reissued, writer.reissued) == (0, 0)

    loopback.run(scenario)
    assert (library / "A00001.tap").stat().st_size == lives * 40 * (LENGTH + 8)


def test_a_changer_that_is_unplugged_leaves_a_tape_to_who_reads_it(
    pvbackd_scsi: Hosts, library: Path, devices: Devices
) -> None:
    """The drive is in use by another guest; the changer finds the tape there when it is back."""
    loopback = pvbackd_scsi(LIBRARY.format(library), "robot", "lto-2")

    async def told() -> list[tuple[str, str]]:
        return [(lun["kind"], lun["medium"]) for lun in (await devices())[0]["luns"]]

    async def scenario(robot: Any) -> None:
        await good(robot, FIRST, TEST_UNIT_READY)
        assert await told() == [("changer", "2 tapes, 0 in drives"), ("tape", "empty")]
        await good(robot, FIRST, move(SLOT, DRIVE + 1))
        assert await told() == [("changer", "2 tapes, 1 in drives"), ("tape", "A00001.tap")]
        guest = await loopback.add_guest()
        reader = await guest.frontend()
        path = loopback.config.backend_path
        await good(reader, SECOND, transfer(0x0A), block(1))
        for name in ("dev-0", "dev-1"):
            await remove_lun(loopback.toolstack, path, name, PATIENCE)
        other = guest.config.backend_path
        await remove_lun(loopback.toolstack, other, "dev-0", PATIENCE)
        await reader.execute(SECOND, TEST_UNIT_READY)  # its LUNs have changed
        await good(reader, SECOND, transfer(0x0A), block(2))
        there = LunConfig("robot", FIRST)
        assert await add_lun(loopback.toolstack, path, "dev-0", there, PATIENCE)
        assert await tapes_in_elements(robot, FIRST) == {DRIVE + 1: "A00001", SLOT: "A00002"}
        await good(robot, FIRST, move(DRIVE + 1, SLOT + 3))
        assert await code(reader, SECOND, TEST_UNIT_READY) == "02/3a/00"

    loopback.run(scenario)
    assert (library / "A00001.tap").stat().st_size == 2 * (LENGTH + 8)


def test_a_library_without_a_folder(
    pvbackd_scsi: Hosts, library: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its drives are there all the same."""
    loopback = pvbackd_scsi(LIBRARY.format(library / "none"), "robot", "lto-1")

    async def scenario(frontend: Any) -> None:
        assert await code(frontend, SECOND, TEST_UNIT_READY) == "02/3a/00"
        folder = f"{loopback.config.backend_path}/vscsi-devs"

        async def is_refused() -> bool:
            keys = await loopback.toolstack.read_keys(folder, ["dev-0/state"])
            return keys["dev-0/state"] == str(int(XenbusState.CLOSED))

        await until(is_refused)

    loopback.run(scenario)
    [line] = [line for line in capfd.readouterr().err.splitlines() if "dev-0" in line]
    assert f"folder of tapes {library}/none: No such file or directory" in line


def test_guests_that_share_a_drive(pvbackd_scsi: Hosts, tmp_path: Path) -> None:
    """One reserves it, and the other finds the tape where the first has left it."""
    cartridge = tmp_path / "shared.tap"
    cartridge.touch()
    loopback = pvbackd_scsi('[[scsi]]\nunit = {kind = "tape"}\n', str(cartridge))

    async def scenario(first: Any) -> None:
        second = await (await loopback.add_guest()).frontend()
        await good(first, FIRST, RESERVE)
        await good(first, FIRST, transfer(0x0A), block(1))
        result = await second.execute(FIRST, transfer(0x0A), block(2))
        assert result.status == Status.RESERVATION_CONFLICT
        await good(first, FIRST, RELEASE)
        await good(second, FIRST, transfer(0x0A), block(3))
        await good(second, FIRST, REWIND)
        for number in (1, 3):
            read = await good(first, FIRST, transfer(0x08), room=LENGTH)
            assert read.data == block(number)

    loopback.run(scenario)
