"""LUNs of a SAN, which Debian's tgt plays, through libiscsi."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.passthrough import iscsi_session, libiscsi
from pvdrivers.backends.targets.passthrough.iscsi import Initiators, open_iscsi
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.records import ROOM
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.testing.scsi.tgt import TARGET, Tgt, free_port, tape_image
from tests.until import until

from .conftest import PATIENCE, Initiator

BLOCK, SIZE = 512, 8 << 20
LARGE = 1 << 18  # bytes; more than a PDU takes
INQUIRY = "12 00 00 00 60 00"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SIZE))
    return path


async def unit_of(url: str, *chap: str, patience: float = PATIENCE, **policy: Any) -> PassThrough:
    initiators = Initiators(IscsiLun.parse(url, *chap))
    return await open_iscsi(initiators, Policy(**policy), patience=patience)


def run(
    url: str, scenario: Callable[[Initiator], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def main() -> None:
        unit = await unit_of(url, **options)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                initiator = Initiator(unit)
                await initiator.hear_attentions()
                await scenario(initiator)
        finally:
            unit.close()

    asyncio.run(main())


def pattern(block: int, size: int = BLOCK) -> bytes:
    return block.to_bytes(4, "big") * (size // 4)


# ---- a disk --------------------------------------------------------------------------------


def test_a_disk(san: Tgt, image: Path) -> None:
    """What is written is in tgt's file, and is read from there; short and long transfers."""

    async def scenario(initiator: Initiator) -> None:
        told = await initiator.good(INQUIRY, room=96)
        assert (told[0], told[16:28]) == (0, b"VIRTUAL-DISK")
        capacity = await initiator.good("25 00 00 00 00 00 00 00 00 00", room=8)
        assert capacity == (SIZE // BLOCK - 1).to_bytes(4, "big") + BLOCK.to_bytes(4, "big")
        for size in (BLOCK, LARGE):
            where = BlockRange(size // BLOCK, size // BLOCK)
            await initiator.good(where.cdb(0x2A), pattern(size, size))
            content = await asyncio.to_thread(image.read_bytes)
            assert content[size : 2 * size] == pattern(size, size)
            assert await initiator.good(where.cdb(0x28), room=size) == pattern(size, size)
        beyond = BlockRange(SIZE // BLOCK, 1).cdb(0x28)
        assert await initiator.code(beyond, room=BLOCK) == "05/21/00"

    run(san.add(image), scenario)


def test_several_commands_are_in_flight(san: Tgt, image: Path) -> None:
    async def scenario(initiator: Initiator) -> None:
        blocks = range(64)
        writing = [initiator.run(BlockRange(b, 1).cdb(0x2A), pattern(b)) for b in blocks]
        assert {answer.status for answer in await asyncio.gather(*writing)} == {Status.GOOD}
        reading = [initiator.good(BlockRange(b, 1).cdb(0x28), room=BLOCK) for b in blocks]
        assert await asyncio.gather(*reading) == [pattern(b) for b in blocks]

    run(san.add(image), scenario)


def test_others_at_the_target_see_what_was_written(san: Tgt, image: Path) -> None:
    """libiscsi's own programs, at the target itself."""
    if not shutil.which("iscsi-readcapacity16"):
        pytest.skip("needs iscsi-readcapacity16 (Debian package libiscsi-bin)")
    url = san.add(image)

    async def scenario(initiator: Initiator) -> None:
        told = await initiator.good(INQUIRY, room=96)
        program = await asyncio.to_thread(subprocess.check_output, ["iscsi-inq", url], text=True)
        assert told[16:32].decode().rstrip() in program
        capacity = await initiator.good("9e 10" + 8 * " 00" + " 00 00 00 20 00 00", room=32)
        program = await asyncio.to_thread(
            subprocess.check_output, ["iscsi-readcapacity16", "-s", url], text=True
        )
        blocks = int.from_bytes(capacity[:8], "big") + 1
        assert int(program) == blocks * int.from_bytes(capacity[8:12], "big") == SIZE

    run(url, scenario)


def test_a_read_only_disk(san: Tgt, image: Path) -> None:
    async def scenario(initiator: Initiator) -> None:
        assert await initiator.code(BlockRange(0, 1).cdb(0x2A), pattern(1)) == "07/27/00"
        assert (await initiator.good("1a 00 3f 00 ff 00", room=255))[2] & 0x80
        assert await initiator.good(BlockRange(0, 1).cdb(0x28), room=BLOCK) == bytes(BLOCK)

    run(san.add(image), scenario, read_only=True)
    assert not any(image.read_bytes())


# ---- tape and changer ----------------------------------------------------------------------


def test_a_tape(san: Tgt, tmp_path: Path) -> None:
    blocks = [b"first", b"second" * 1000, b"third"]

    async def scenario(initiator: Initiator) -> None:
        assert initiator.unit.device_type == 1
        for block in blocks:
            await initiator.good(b"\x0a\0" + len(block).to_bytes(3, "big") + b"\0", block)
        await initiator.good("10 00 00 00 01 00")
        await initiator.good("01 00 00 00 00 00")
        for block in blocks:
            cdb = b"\x08\0" + len(block).to_bytes(3, "big") + b"\0"
            assert await initiator.good(cdb, room=len(block)) == block
        assert await initiator.code("08 00 00 00 05 00", room=5) == "00/00/01"

    image = tape_image(tmp_path / "tape.img")
    run(san.add(image, "tape"), scenario)
    written = image.read_bytes()
    assert all(block in written for block in blocks)


def test_a_changer(san: Tgt, tmp_path: Path) -> None:
    """A cartridge goes from one slot to another, and READ ELEMENT STATUS tells so."""
    (tmp_path / "changer").touch()
    (tmp_path / "media").mkdir()
    url = san.add(
        tmp_path / "changer",
        "changer",
        f"media_home={tmp_path / 'media'}",
        "element_type=1,start_address=1,quantity=1",
        "element_type=2,start_address=1024,quantity=4",
        "element_type=2,address=1024,barcode=A00001,sides=1",
    )

    async def scenario(initiator: Initiator) -> None:
        assert initiator.unit.device_type == 8
        await initiator.good("07 00 00 00 00 00")
        assert await full_slots(initiator) == [1024]
        await initiator.good("a5 00 00 01 04 00 04 02 00 00 00 00")
        assert await full_slots(initiator) == [1026]

    run(url, scenario)


async def full_slots(initiator: Initiator) -> list[int]:
    data = await initiator.good("b8 02 00 00 00 ff 00 00 10 00 00 00", room=4096)
    size = int.from_bytes(data[10:12], "big")
    page = data[16 : 16 + int.from_bytes(data[13:16], "big")]
    each = [page[start : start + size] for start in range(0, len(page), size)]
    return [int.from_bytes(one[:2], "big") for one in each if one[2] & 1]


# ---- a SAN that dies -----------------------------------------------------------------------


def test_killed_under_writes(san: Tgt, image: Path) -> None:
    """What was acknowledged is there, and the rest comes when the SAN is back."""
    answered: set[int] = set()

    async def scenario(initiator: Initiator) -> None:
        async def writer(first: int) -> None:
            for block in range(first, first + 60):
                while True:
                    answer = await initiator.run(BlockRange(block, 1).cdb(0x2A), pattern(block))
                    if answer.status == Status.GOOD:
                        break
                    assert answer.sense[2] & 0x0F == 0x06  # the session that was lost
                answered.add(block)

        writing = [asyncio.create_task(writer(first)) for first in range(1, 481, 60)]
        for number in (1, 2):
            while len(answered) < 100 * number:  # the kill comes in the middle
                assert not any(task.done() and task.exception() for task in writing)
                await asyncio.sleep(0.001)
            await asyncio.to_thread(san.kill)
            content = await asyncio.to_thread(image.read_bytes)
            for block in set(answered):
                assert content[block * BLOCK : (block + 1) * BLOCK] == pattern(block)
            await asyncio.to_thread(san.start)
        await asyncio.gather(*writing)

    run(san.add(image), scenario)
    content = image.read_bytes()
    assert content[BLOCK : 481 * BLOCK] == b"".join(map(pattern, range(1, 481)))


def test_an_idle_session_that_is_lost_is_noticed(san: Tgt, image: Path) -> None:
    """No command has to fail for it."""

    async def scenario(initiator: Initiator) -> None:
        path = initiator.unit._paths[initiator.nexus]
        session = path._session
        assert session
        await asyncio.to_thread(san.kill)
        await session.lost
        await asyncio.to_thread(san.start)
        assert await initiator.hear_attentions() != []
        await initiator.good(BlockRange(0, 1).cdb(0x28), room=BLOCK)

    run(san.add(image), scenario)


def test_a_target_that_hangs(san: Tgt, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts what is sent and says nothing: the session is given up."""
    monkeypatch.setattr(iscsi_session, "NOP_INTERVAL", 0.01)

    async def scenario(initiator: Initiator) -> None:
        monkeypatch.setattr(iscsi_session, "NOP_TIME", 0.05)
        san.pause()
        session = initiator.unit._paths[initiator.nexus]._session
        assert session
        _, reading = initiator.begin(BlockRange(0, 1).cdb(0x28), room=BLOCK)
        assert "has not answered" in await session.lost
        monkeypatch.setattr(iscsi_session, "NOP_TIME", PATIENCE)
        san.resume()
        assert (await reading).status == Status.GOOD

    run(san.add(image), scenario)


def test_abort_while_the_target_hangs(san: Tgt, image: Path) -> None:
    """The command may be with the target; its end comes when the target says so."""

    async def scenario(initiator: Initiator) -> None:
        san.pause()
        command, answer = initiator.begin(BlockRange(0, 1).cdb(0x28), room=BLOCK)
        await until(lambda: initiator.unit._paths[initiator.nexus]._sent)
        assert not initiator.unit.abort(command)
        san.resume()
        ended = await answer
        assert ended.host in (HostByte.OK, HostByte.ABORT)  # it may have been carried out first
        await initiator.good(BlockRange(0, 1).cdb(0x28), room=BLOCK)

    run(san.add(image), scenario)


def test_a_reset_of_the_lun(san: Tgt, image: Path) -> None:
    async def scenario(initiator: Initiator) -> None:
        initiator.unit.reset(initiator.nexus)
        assert "06/29/00" in await initiator.hear_attentions()
        await initiator.good(BlockRange(0, 1).cdb(0x28), room=BLOCK)

    run(san.add(image), scenario)


# ---- initiators ----------------------------------------------------------------------------


def test_a_reservation_is_one_guests(san: Tgt, image: Path) -> None:
    """Each has a session by its own name, so the target itself tells them apart."""

    async def scenario(first: Initiator) -> None:
        second = Initiator(first.unit, "xen-other-0")
        await second.hear_attentions()
        await first.good(RESERVE_OUT.format(0), register(7))
        await first.good(RESERVE_OUT.format(1), register(0, 7))
        read = BlockRange(0, 1).cdb(0x28)
        conflicting = await second.run(read, room=BLOCK)
        assert conflicting.status == Status.RESERVATION_CONFLICT
        await first.good(read, room=BLOCK)
        shown = await asyncio.to_thread(san.administer, "--op show --mode target")
        assert "iqn.2012-04.org.pvdrivers:xen-guest-0" in shown
        assert "iqn.2012-04.org.pvdrivers:xen-other-0" in shown

    run(san.add(image), scenario)


RESERVE_OUT = "5f 0{} 03 00 00 00 00 00 18 00"  # exclusive access


def register(new: int, key: int = 0) -> bytes:
    return key.to_bytes(8, "big") + new.to_bytes(8, "big") + bytes(8)


def test_a_lun_that_two_guests_see_has_a_session_of_each(san: Tgt, image: Path) -> None:
    async def scenario(first: Initiator) -> None:
        second = Initiator(first.unit, "xen-other-0")
        await second.hear_attentions()
        await first.good(BlockRange(4, 1).cdb(0x2A), pattern(4))
        assert await second.good(BlockRange(4, 1).cdb(0x28), room=BLOCK) == pattern(4)
        first.unit.detach(second.nexus)

        async def is_gone() -> bool:
            shown = await asyncio.to_thread(san.administer, "--op show --mode target")
            return "xen-other-0" not in shown

        while not await is_gone():  # noqa: ASYNC110 - it is the target's doing
            await asyncio.sleep(0.01)
        await first.good(BlockRange(4, 1).cdb(0x28), room=BLOCK)

    run(san.add(image), scenario)


def test_a_successor_waits_for_a_san_that_is_down(san: Tgt, image: Path) -> None:
    """An operator's new LUN would be refused; a guest that has it does not lose it."""
    url = san.add(image)
    memory = bytearray(journal_size(ROOM))

    async def main() -> None:
        unit = await unit_of(url)
        unit.take_up(Journal(memory, ROOM))
        unit.close()
        await asyncio.to_thread(san.kill)
        successor = await unit_of(url)
        successor.take_up(Journal(memory, ROOM))
        assert successor.device_type == 0
        _, reading = Initiator(successor).begin("12 00 00 00 24 00", room=36)
        await asyncio.to_thread(san.start)
        async with asyncio.timeout(PATIENCE):
            assert (await reading).data[16:28] == b"VIRTUAL-DISK"
        successor.close()

    asyncio.run(main())


# ---- what an operator is told --------------------------------------------------------------


def complaint(url: str, *chap: str) -> str:
    async def main() -> str:
        async def be_served() -> None:
            (await unit_of(url, *chap)).take_up(Journal(bytearray(journal_size(ROOM)), ROOM))

        with pytest.raises((UsageError, OSError)) as caught:
            await be_served()
        return str(caught.value)

    return asyncio.run(main())


def test_a_lun_that_is_not_there(san: Tgt, image: Path) -> None:
    san.add(image)
    told = complaint(san.url(9))
    assert told == f"{san.url(9)}: the target has no LUN 9 for this initiator: there is 0, 1"


def test_a_target_that_is_not_there(san: Tgt) -> None:
    url = san.url(1).replace(TARGET, "iqn.2012-04.org.pvdrivers:other")
    assert complaint(url).startswith(f"{url}: the target refuses initiator iqn.")


@pytest.mark.usefixtures("libiscsi")
def test_a_target_that_is_not_reached() -> None:
    url = f"iscsi://127.0.0.1:{free_port()}/{TARGET}/1"
    told = complaint(url)
    assert told.startswith(f"{url}: the target is not reached: ")
    assert "Connection refused" in told


@pytest.mark.usefixtures("libiscsi")
@pytest.mark.parametrize("host", ["san.invalid", "san..invalid"])
def test_a_host_that_has_no_address(host: str) -> None:
    url = f"iscsi://{host}:3260/{TARGET}/1"
    assert complaint(url).startswith(f"{url}: the target is not reached: ")


def test_chap(image: Path, san: Tgt) -> None:
    """`san` says whether tgt is there."""
    san.close()
    with Tgt("guest", "open-sesame-1") as guarded:
        url = guarded.add(image)
        assert "the target refuses initiator" in complaint(url)
        told = complaint(url, "guest", "wrong-secret-1")
        assert "the target refuses initiator" in told
        assert "Authentication failure" in told
        assert "wrong-secret" not in told

        async def main() -> None:
            unit = await unit_of(url, "guest", "open-sesame-1")
            initiator = Initiator(unit)
            await initiator.hear_attentions()
            await initiator.good(INQUIRY, room=96)
            unit.close()

        asyncio.run(main())


def test_without_libiscsi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libiscsi, "SONAME", "libiscsi.so.none")
    libiscsi.library.cache_clear()
    try:
        told = complaint(f"iscsi://127.0.0.1:1/{TARGET}/1")
    finally:
        libiscsi.library.cache_clear()
    assert "libiscsi.so.none (Debian package libiscsi7)" in told
