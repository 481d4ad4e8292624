"""The daemon serves LUNs of a SAN, which may die, as it may itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.passthrough.iscsi import Initiators
from pvdrivers.backends.targets.passthrough.iscsi_lun import IscsiLun
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.sense import SenseKey
from pvdrivers.testing.scsi.tgt import Tgt, free_port, tape_image
from pvdrivers.tools.pvbackd.scsi_pass_through import IscsiUnit
from pvdrivers.xenbus.states import XenbusState

from .conftest import PATIENCE, Hosts
from .scsi_guest import FIRST, SECOND, good, until_refused

pytestmark = pytest.mark.slow

BLOCK, SIZE = 512, 1 << 20
READ, WRITE = 0x28, 0x2A
FORMAT_UNIT = bytes.fromhex("04 00 00 00 00 00")


def rules(san: Tgt, *keys: str) -> str:
    """p-dev is the number of a LUN."""
    url = san.url(0).removesuffix("0") + "{lun}"
    keys = ('kind = "iscsi"', f'url = "{url}"', *keys)
    return f"[[scsi]]\nunit = {{{', '.join(keys)}}}\n"


async def run(frontend: Any, cdb: bytes, data: bytes = b"", room: int = 0, at: Any = FIRST) -> Any:
    """As often as the session has to be told lost."""
    async with asyncio.timeout(PATIENCE):
        await frontend.wait_for_lun(at)
        while True:
            result = await frontend.execute(at, cdb, data, room=room)
            sense = result.parsed_sense
            if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
                return result


def pattern(block: int) -> bytes:
    return block.to_bytes(4, "big") * (BLOCK // 4)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "san.img"
    path.write_bytes(bytes(SIZE))
    return path


def test_a_disk_whose_san_and_daemon_are_killed(pvbackd_scsi: Hosts, san: Tgt, disk: Path) -> None:
    """Each write that was answered is in the SAN's own file at once, and all are in the end."""
    san.add(disk)
    loopback = pvbackd_scsi(rules(san), "1")
    answered: set[int] = set()

    async def writer(frontend: Any, first: int) -> None:
        for block in range(first, first + 60):
            assert (await run(frontend, BlockRange(block, 1).cdb(WRITE), pattern(block))).good
            answered.add(block)

    async def reached(count: int, writing: list[asyncio.Task[None]]) -> None:
        while len(answered) < count:
            assert not any(task.done() and task.exception() for task in writing)
            await asyncio.sleep(0.001)

    async def scenario(frontend: Any) -> None:
        writing = [asyncio.create_task(writer(frontend, n)) for n in range(1, 481, 60)]
        for number in (1, 2):
            await reached(60 * number, writing)
            await asyncio.to_thread(san.kill)
            content = await asyncio.to_thread(disk.read_bytes)
            for block in set(answered):
                assert content[block * BLOCK : (block + 1) * BLOCK] == pattern(block)
            await asyncio.to_thread(san.start)
            await reached(60 * number + 30, writing)
            loopback.kill_backend()
            loopback.restart_backend()
        await asyncio.gather(*writing)
        assert frontend.state is XenbusState.CONNECTED
        assert frontend.reissued == 0
        for block in (1, 480):
            result = await run(frontend, BlockRange(block, 1).cdb(READ), room=BLOCK)
            assert result.data == pattern(block)

    loopback.run(scenario)
    content = disk.read_bytes()
    assert content[BLOCK : 481 * BLOCK] == b"".join(map(pattern, range(1, 481)))


def test_a_tape_whose_daemon_is_killed(pvbackd_scsi: Hosts, san: Tgt, tmp_path: Path) -> None:
    """tgt's tape does not tell its position, so of a block that was in flight nobody knows whether
    it was written, and the guest is told so. All others are there once, and that one at most."""
    url = san.add(tape_image(tmp_path / "tape.img"), "tape")
    loopback = pvbackd_scsi(rules(san), "1")
    written: list[int] = []
    unknown: list[int] = []

    async def scenario(frontend: Any) -> None:
        for number in range(30):
            cdb = b"\x0a\0" + BLOCK.to_bytes(3, "big") + b"\0"
            writing = asyncio.create_task(run(frontend, cdb, pattern(number)))
            if number % 6 == 5:
                await asyncio.sleep(0)
                loopback.kill_backend()
                loopback.restart_backend()
            result = await writing
            if result.good:
                written.append(number)
            else:
                sense = result.parsed_sense
                assert (sense.key, sense.asc, sense.ascq) == (SenseKey.ABORTED_COMMAND, 8, 0)
                unknown.append(number)

    loopback.run(scenario)
    read = asyncio.run(blocks_of(url))
    assert [number for number in read if number not in unknown] == written
    assert len(read) == len(set(read))
    assert set(read) <= {*written, *unknown}


async def blocks_of(url: str) -> list[int]:
    """The numbers of a tape's blocks, read from the SAN without pvbackd."""
    nexus = Nexus("another")
    session = await Initiators(IscsiLun.parse(url)).session_of(nexus)()
    for cdb in (bytes(6), bytes(6), bytes.fromhex("01 00 00 00 00 00")):
        await session.execute(Command(nexus, cdb))
    found = []
    read = b"\x08\0" + BLOCK.to_bytes(3, "big") + b"\0"
    while (answer := await session.execute(Command(nexus, read, room=BLOCK))).status == 0:
        found.append(int.from_bytes(answer.data[:4], "big"))
    session.close()
    return found


def test_policy_and_a_lun_that_is_not_there(
    pvbackd_scsi: Hosts, san: Tgt, disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    san.add(disk)
    loopback = pvbackd_scsi(rules(san, 'allow = ["MODE SELECT(6)"]', "read_only = true"), "1", "7")

    async def scenario(frontend: Any) -> None:
        told = await good(frontend, FIRST, bytes.fromhex("12 00 00 00 60 00"), room=96)
        assert told.data[16:28] == b"VIRTUAL-DISK"
        refused = await run(frontend, FORMAT_UNIT)
        assert refused.parsed_sense.asc == 0x20
        protected = await run(frontend, BlockRange(0, 1).cdb(WRITE), pattern(1))
        sense = protected.parsed_sense
        assert (sense.key, sense.asc, sense.ascq) == (SenseKey.DATA_PROTECT, 0x27, 0)
        luns = await run(frontend, bytes.fromhex("a0 00 00 00 00 00 00 00 ff 00 00 00"), room=255)
        assert luns.data[:16] == bytes((0, 0, 0, 8, *bytes(12)))
        await until_refused(loopback, "dev-1")

    loopback.run(scenario)
    [line] = [line for line in capfd.readouterr().err.splitlines() if "dev-1" in line]
    assert "the target has no LUN 7 for this initiator: there is 0, 1" in line
    assert SECOND.lun == 1


@pytest.mark.usefixtures("libiscsi")
def test_a_san_that_is_away(pvbackd_scsi: Hosts, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"iscsi://127.0.0.1:{free_port()}/iqn.2012-04.org.example:away/1"
    loopback = pvbackd_scsi('[[scsi]]\nunit = {kind = "iscsi"}\n', url)

    async def scenario(frontend: Any) -> None:
        await until_refused(loopback, "dev-0")

    loopback.run(scenario)
    [line] = [line for line in capfd.readouterr().err.splitlines() if "dev-0" in line]
    assert f"{url}: the target is not reached" in line
    assert "Traceback" not in line


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (None, 0o600, "No such file"),
        ("secret\n", 0o640, "is open to others: chmod 600"),
        ("\nsecret", 0o600, "no secret of 1 to 255 characters in its first line"),
    ],
)
def test_a_secret_that_cannot_be_used(
    tmp_path: Path, content: str | None, mode: int, complaint: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    unit = IscsiUnit(url="iscsi://127.0.0.1/iqn.x/1", chap_user="a", secret_file=str(path))
    with pytest.raises(UsageError, match=complaint) as caught:
        asyncio.run(unit.open("lun"))
    assert str(path) in str(caught.value)
