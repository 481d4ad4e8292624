"""Guests of a machine of their own, and the logical units they find."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.result import Status
from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.luns import LunSpec

BLOCK = 512
TEST_UNIT_READY = bytes(6)
WRITE_10 = bytes.fromhex("2a 00 00 00 00 07 00 00 01 00")
READ_10 = bytes.fromhex("28 00 00 00 00 07 00 00 01 00")
RESERVE_6 = bytes.fromhex("16 00 00 00 00 00")


def specs(*texts: str) -> list[LunSpec]:
    return [LunSpec.parse(text) for text in texts]


def test_what_is_written_is_in_the_image(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(1 << 20)

    async def main() -> None:
        async with MachineGuests(specs(f"3={image}")) as guests:
            guest = await guests.join("iqn.2012-04.org.example:a")
            assert guest.luns == [3]
            assert guest.block_size(3) == BLOCK
            content = bytes(range(256)) * 2
            assert (await guest.execute(3, WRITE_10, content, 0)).status == Status.GOOD
            assert (await guest.execute(3, READ_10, b"", BLOCK)).data == content
            assert image.read_bytes()[7 * BLOCK :][:BLOCK] == content

    asyncio.run(main())


def test_initiators_are_guests_of_their_own() -> None:
    """A reservation of one is a conflict for the other; it ends with its initiator. What is in
    memory stays while nobody is there."""

    async def main() -> None:
        async with MachineGuests(specs("0=ram:1M")) as guests:
            first, second = await guests.join("iqn.a"), await guests.join("iqn.b")
            assert first.domain.domid != second.domain.domid
            assert await guests.join("iqn.a") is first
            await first.execute(0, WRITE_10, b"x" * BLOCK, 0)
            assert (await first.execute(0, RESERVE_6, b"", 0)).status == Status.GOOD
            conflict = await second.execute(0, READ_10, b"", BLOCK)
            assert conflict.status == Status.RESERVATION_CONFLICT
            await guests.leave("iqn.a")
            assert (await second.execute(0, READ_10, b"", BLOCK)).data == b"x" * BLOCK
            await guests.leave("iqn.b")
            third = await guests.join("iqn.c")
            assert (await third.execute(0, READ_10, b"", BLOCK)).data == b"x" * BLOCK

    asyncio.run(main())


def test_a_reset_is_told_to_all() -> None:
    async def main() -> None:
        async with MachineGuests(specs("0=ram:1M")) as guests:
            first, second = await guests.join("iqn.a"), await guests.join("iqn.b")
            assert await first.reset(0)
            for guest in (first, second):
                answer = await guest.execute(0, TEST_UNIT_READY, b"", 0)
                assert answer.status == Status.CHECK_CONDITION
                assert answer.sense[12] == 0x29

    asyncio.run(main())


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "no --lun"),
        (["0=ram:1M", "0=ram:2M"], "--lun 0: two have this number"),
        (["x=ram:1M"], "write NUMBER=IMAGE"),
        (["16384=ram:1M"], "16384 is not 0 to 16383"),
        (["0=/nowhere/x"], "no such image"),
        (["0=ram:1X"], "a size is such as 64M"),
        (["0=ram:"], "a size is such as 64M"),
        (["0=/dev/null"], "/dev/null: neither a regular file nor a block device"),
        (["0=ram:100"], "not a positive multiple"),
        (["0=tape:/nowhere/x"], "no such tape; make one: touch /nowhere/x"),
        (["0=changer:/nowhere/x", "1=tape:"], "there is no folder /nowhere/x"),
        (["0=changer:/"], "--lun 0: a changer needs a drive, such as --lun 2=tape:"),
        (["0=changer:/", "1=tape:", "2=changer:/"], "--lun 2: there is a changer"),
        (["1=tape:"], "--lun 1: a drive without a tape needs a changer"),
    ],
)
def test_luns_that_cannot_be(texts: list[str], sentence: str) -> None:
    async def main() -> None:
        async with MachineGuests(specs(*texts)):
            pass

    with pytest.raises(UsageError, match=re.escape(sentence)):
        asyncio.run(main())
