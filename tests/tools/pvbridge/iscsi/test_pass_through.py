"""A pass-through unit whose SAN is pvbridge: what it sends goes over a PV ring in the end. The
units there can do what those of tgt cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.passthrough.iscsi import Initiators, open_iscsi
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.backends.targets.passthrough.iscsi_session import IscsiSession
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.server import serve
from pvdrivers.tools.pvbridge.luns import LunSpec

NAME = "iqn.2012-04.org.example:target"
PATIENCE = 60.0  # seconds
BLOCK = 512
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("libiscsi")]

READ, COMPARE_AND_WRITE = BlockRange(0, 1).cdb(0x28), BlockRange(0, 1).cdb(0x89)
REGISTER, RESERVE = (bytes((0x5F, action, 0x03, *bytes(5), 24, 0)) for action in (0, 1))


class Guest:
    def __init__(self, unit: PassThrough, name: str) -> None:
        self.unit = unit
        self.nexus = Nexus(name)
        unit.attach(self.nexus)

    async def run(self, cdb: bytes, data: bytes = b"", room: int = 0) -> Answer:
        """Unit attentions are heard and the command is given again."""
        while True:
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self.unit.start(Command(self.nexus, cdb, data, room), answer.set_result)
            ended = await answer
            sense = Sense.parse(ended.sense)
            if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
                return ended

    def lose_session(self) -> None:
        session = self.unit._paths[self.nexus]._session
        assert isinstance(session, IscsiSession)
        session._lose("the test wants it so")


def run(medium: str, scenario: Callable[[PassThrough], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        guests = MachineGuests([LunSpec.parse(f"0={medium}")])
        async with (
            asyncio.timeout(4 * PATIENCE),
            guests,
            serve(guests, TargetInfo(NAME), port=0) as port,
        ):
            lun = IscsiLun.parse(f"iscsi://127.0.0.1:{port}/{NAME}/0")
            unit = await open_iscsi(Initiators(lun), Policy())
            try:
                await scenario(unit)
            finally:
                unit.close()

    asyncio.run(main())


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


def test_a_persistent_reservation_outlives_a_session(image: str) -> None:
    """Since the guest comes again by the same initiator port."""

    async def scenario(unit: PassThrough) -> None:
        holder, other = Guest(unit, "xen-holder-0"), Guest(unit, "xen-other-0")
        key = (7).to_bytes(8, "big")
        assert (await holder.run(REGISTER, bytes(8) + key + bytes(8))).status == Status.GOOD
        assert (await holder.run(RESERVE, key + bytes(16))).status == Status.GOOD
        for _ in range(2):
            refused = await other.run(READ, room=BLOCK)
            assert refused.status == Status.RESERVATION_CONFLICT
            assert (await holder.run(READ, room=BLOCK)).status == Status.GOOD
            holder.lose_session()
            other.lose_session()

    run(image, scenario)


def test_compare_and_write(image: str) -> None:
    async def scenario(unit: PassThrough) -> None:
        guest = Guest(unit, "xen-guest-0")
        new = b"new".ljust(BLOCK)
        swapped = await guest.run(COMPARE_AND_WRITE, bytes(BLOCK) + new)
        assert swapped.status == Status.GOOD
        differs = Sense.parse((await guest.run(COMPARE_AND_WRITE, bytes(BLOCK) + new)).sense)
        assert differs
        assert (differs.key, differs.asc, differs.information) == (SenseKey.MISCOMPARE, 0x1D, 0)
        assert (await guest.run(READ, room=BLOCK)).data == new

    run(image, scenario)


def cut(blocks: int, random: Random) -> list[BlockRange]:
    """So many blocks in pieces of any size, in any order."""
    places = sorted({0, blocks, *(random.randrange(blocks) for _ in range(blocks // 50))})
    pieces = [BlockRange(start, end - start) for start, end in pairwise(places)]
    random.shuffle(pieces)
    return pieces


def test_a_random_image_there_and_back(tmp_path: Path) -> None:
    """16 commands at a time. Those with few data need no Python between socket and ring, long
    writes are asked for by R2T."""
    random = Random(12)
    content, read = random.randbytes(6 << 20), bytearray(6 << 20)
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(len(content)))

    async def scenario(unit: PassThrough) -> None:
        guest = Guest(unit, "xen-guest-0")
        await guest.run(bytes(6))
        places = asyncio.Semaphore(16)

        async def write(piece: BlockRange) -> None:
            async with places:
                data = content[piece.lba * BLOCK :][: piece.blocks * BLOCK]
                assert (await guest.run(piece.cdb(0x2A), data)).status == Status.GOOD

        async def read_back(piece: BlockRange) -> None:
            async with places:
                room = piece.blocks * BLOCK
                answer = await guest.run(piece.cdb(0x28), room=room)
                read[piece.lba * BLOCK : piece.lba * BLOCK + room] = answer.data

        blocks = len(content) // BLOCK
        await asyncio.gather(*map(write, cut(blocks, random)))
        await asyncio.gather(*map(read_back, cut(blocks, random)))

    run(str(path), scenario)
    assert path.read_bytes() == content
    assert read == content


def transfer(opcode: int) -> bytes:
    return bytes((opcode, 0, *BLOCK.to_bytes(3, "big"), 0))


def test_a_tape_has_each_block_once_over_lost_sessions(tmp_path: Path) -> None:
    """The session is lost at some moment of every third write and read: before the command is sent,
    while it is with the target, or after. The tape's position tells which it was."""
    (tmp_path / "tape.tap").touch()

    async def disturbed(guest: Guest, number: int, *command: Any, **keywords: Any) -> Answer:
        running = asyncio.create_task(guest.run(*command, **keywords))
        if number % 3 == 2:
            for _ in range(number):
                await asyncio.sleep(0)
            guest.lose_session()
        return await running

    async def scenario(unit: PassThrough) -> None:
        guest = Guest(unit, "xen-guest-0")
        await guest.run(bytes(6))
        for number in range(12):
            block = number.to_bytes(4, "big") * (BLOCK // 4)
            written = await disturbed(guest, number, transfer(0x0A), block)
            assert written.status == Status.GOOD
            await guest.run(bytes(6))
        assert (await guest.run(bytes.fromhex("01 00 00 00 00 00"))).status == Status.GOOD
        for number in range(12):
            read = await disturbed(guest, number, transfer(0x08), room=BLOCK)
            assert read.data == number.to_bytes(4, "big") * (BLOCK // 4)
            await guest.run(bytes(6))
        end = Sense.parse((await guest.run(transfer(0x08), room=BLOCK)).sense)
        assert end
        assert end.key == SenseKey.BLANK_CHECK

    run(f"tape:{tmp_path / 'tape.tap'}", scenario)
