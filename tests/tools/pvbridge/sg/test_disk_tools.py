"""Debian's sg3-utils, unmodified, on disks behind a PV ring."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from .conftest import Machine, Programs

DISK, OTHER = "/dev/pvsg/guest/0:0:0:0", "/dev/pvsg/guest/0:0:0:1"
BLOCKS = 8192  # of a content that is copied
# Exit statuses of sg3-utils.
NOT_READY, UNIT_ATTENTION, INVALID_OPCODE, OUT_OF_RANGE, CONFLICT = 2, 6, 9, 22, 24
MISSING = 50 + errno.ENOENT

Scenario = Callable[[Programs], Awaitable[None]]


@pytest.fixture
def on_disks(machine: Machine) -> Callable[[Scenario], None]:
    """Runs a scenario with two disks in memory."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with machine("0=ram:64M", "1=ram:16M") as programs:
                await scenario(programs)

        asyncio.run(main())

    return run


OnDisks = Callable[[Scenario], None]


def test_what_a_disk_tells(on_disks: OnDisks) -> None:
    async def scenario(programs: Programs) -> None:
        for command, told in {
            "sg_inq": r"Vendor identification: PVDRIVER\b",
            "sg_vpd --page=di": r"designator type: NAA,  code set: Binary\s+0x3[0-9a-f]{15}",
            "sg_vpd --page=bl": r"Maximum transfer length: 4096 blocks",
            "sg_vpd --page=lbpv": r"Provisioning type: 2",
            "sg_readcap --long": r"Number of logical blocks=131072",
            "sg_luns": r"2 lun entries",
            "sg_turs --number=10": r"",
            "sg_modes --page=8": r"Caching",
            "sg_logs --page=0x2f": r"Informational Exceptions",
            "sg_opcodes": r" 89 +16 +0,0 +Compare and write",
            "sg_requests": r"No additional sense information",
            "sg_get_lba_status --lba=0": r"LBA: 0x0+  blocks: +131072",
            "sg_copy_results --params": r"Maximum target descriptor count",
            "sg_rtpg": r"asymmetric access state : 0x00",
            "sg_scan": r"scsi0 channel=0 id=0 lun=0",
            "sginfo -a": r"RAM DISK",
            "sg_verify --lba=0 --count=100": r"",
            "sg_sync": r"",
            "sg_senddiag --test": r"",
        }.items():
            said = await programs.run(*command.split(), DISK)
            assert re.search(told, said), f"{command}: {said}"

    on_disks(scenario)


@pytest.mark.parametrize("program", ["sg_dd", "sgp_dd thr=4", "sgm_dd"])
def test_content_is_copied(on_disks: OnDisks, tmp_path: Path, program: str) -> None:
    """From a file to a disk, to another disk, and to a file: by SG_IO, by write and read from
    threads, and through mapped memory."""
    content, copy = tmp_path / "content", tmp_path / "copy"
    content.write_bytes(os.urandom(BLOCKS * 512))

    async def scenario(programs: Programs) -> None:
        for source, target in ((content, DISK), (DISK, OTHER), (OTHER, copy)):
            words = program.split()
            await programs.run(*words, f"if={source}", f"of={target}", "bs=512", f"count={BLOCKS}")
        assert copy.read_bytes() == content.read_bytes()

    on_disks(scenario)


def test_a_disk_copies_to_another(on_disks: OnDisks, tmp_path: Path) -> None:
    """By EXTENDED COPY: no data pass through the guest."""
    content, copy = tmp_path / "content", tmp_path / "copy"
    content.write_bytes(os.urandom(100 * 512))

    async def scenario(programs: Programs) -> None:
        await programs.run("sg_dd", f"if={content}", f"of={DISK}", "bs=512")
        await programs.run("sg_xcopy", f"if={DISK}", f"of={OTHER}", "bs=512", "count=100")
        await programs.run("sg_dd", f"if={OTHER}", f"of={copy}", "bs=512", "count=100")
        assert copy.read_bytes() == content.read_bytes()

    on_disks(scenario)


@pytest.mark.parametrize("way", ["blk_sgio=1", "mmap=1", "no_dxfer=1", "dio=1"])
def test_sg_read(on_disks: OnDisks, way: str) -> None:
    async def scenario(programs: Programs) -> None:
        said = await programs.run("sg_read", f"if={DISK}", "bs=512", "count=1000", way)
        assert "1000+0 records in" in said

    on_disks(scenario)


def test_blocks_are_changed(on_disks: OnDisks, tmp_path: Path) -> None:
    block = tmp_path / "block"
    block.write_bytes(b"pattern!" * 64)

    async def scenario(programs: Programs) -> None:
        async def first_blocks() -> bytes:
            target = tmp_path / "read"
            await programs.run("sg_dd", f"if={DISK}", f"of={target}", "bs=512", "count=20")
            return target.read_bytes()

        same = ("--xferlen=512", f"--in={block}", "--num=16")
        await programs.run("sg_write_same", "--lba=2", *same, DISK)
        assert await first_blocks() == bytes(1024) + block.read_bytes() * 16 + bytes(1024)
        await programs.run("sg_unmap", "--lba=3", "--num=14", DISK)
        assert await first_blocks() == (
            bytes(1024) + block.read_bytes() + bytes(14 * 512) + block.read_bytes() + bytes(1024)
        )
        both = tmp_path / "both"  # to compare with, and to write
        both.write_bytes(block.read_bytes() + bytes(512))
        change = ("--lba=2", f"--in={both}", "--xferlen=1024", "--num=1", DISK)
        await programs.run("sg_compare_and_write", *change)
        assert (await first_blocks())[1024:1536] == bytes(512)
        await programs.run("sg_compare_and_write", *change, status=14)  # it is not the same now

    on_disks(scenario)


def test_two_guests_and_a_reservation(machine: Machine) -> None:
    """Guests are initiators of their own, on the same disk."""

    async def main() -> None:
        async with machine("0=ram:1M", names=("one", "two")) as programs:
            one, two = "/dev/pvsg/one/0:0:0:0", "/dev/pvsg/two/0:0:0:0"
            persist = ("sg_persist", "--out")
            await programs.run(*persist, "--register", "--param-sark=0x123", one)
            await programs.run(*persist, "--reserve", "--param-rk=0x123", "--prout-type=1", one)
            said = await programs.run("sg_persist", "--read-reservation", two)
            assert "Key=0x123" in said
            assert "type: Write Exclusive" in said
            change = ("sg_write_same", "--lba=0", "--num=1", "--xferlen=512", "--in=/dev/zero")
            await programs.run(*change, two, status=CONFLICT)
            await programs.run(*change, one)
            await programs.run(*persist, "--release", "--param-rk=0x123", "--prout-type=1", one)
            await programs.run(*change, two)

    asyncio.run(main())


def test_refusals(on_disks: OnDisks) -> None:
    async def scenario(programs: Programs) -> None:
        raw = ("sg_raw", "--request=512", DISK, *"28 00 ff ff ff ff 00 00 01 00".split())
        said = await programs.run(*raw, status=OUT_OF_RANGE)
        assert "Logical block address out of range" in said
        assert "not supported" in await programs.run("sg_rep_zones", DISK, status=INVALID_OPCODE)
        await programs.run("sg_start", "--stop", DISK)
        assert "device not ready" in await programs.run("sg_turs", DISK, status=NOT_READY)
        await programs.run("sg_start", "--start", DISK)
        await programs.run("sg_turs", DISK)
        for nothing in ("/dev/pvsg/guest/0:0:0:7", "/dev/pvsg/nobody/0:0:0:0", "/dev/pvsg/guest"):
            assert "No such file" in await programs.run("sg_inq", nothing, status=MISSING)

    on_disks(scenario)


def test_a_reset_is_the_units_alone(on_disks: OnDisks) -> None:
    """As Linux's xen-scsifront: it can reset a logical unit and nothing else."""

    async def scenario(programs: Programs) -> None:
        await programs.run("sg_reset", "--device", DISK)
        said = await programs.run("sg_turs", "-v", DISK, status=UNIT_ATTENTION)
        assert "Bus device reset function occurred" in said
        await programs.run("sg_turs", DISK)
        for what in ("--target", "--bus", "--host"):
            await programs.run("sg_reset", what, DISK, status=1)

    on_disks(scenario)


def test_a_cdb_that_no_ring_can_carry(on_disks: OnDisks) -> None:
    """Linux's host byte for it is ABORT."""

    async def scenario(programs: Programs) -> None:
        said = await programs.run("sg_raw", "--cmdset=1", DISK, "7f", *["00"] * 31, status=99)
        assert "DID_ABORT" in said

    on_disks(scenario)
