"""Debian's mtx, tapeinfo, loaderinfo and scsitape, unmodified, on a library behind a PV ring."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .conftest import Machine, Programs

CHANGER, FIRST, SECOND, OWN = (f"/dev/pvsg/guest/0:0:0:{lun}" for lun in range(4))
BLOCK = 512
WRITE_BLOCK = "0a 01 00 00 01 00".split()  # of the length that is set


@asynccontextmanager
async def library(machine: Machine, folder: Path) -> AsyncIterator[Programs]:
    """A changer with three tapes and two drives, and a drive with a tape of its own."""
    tapes = folder / "tapes"
    tapes.mkdir()
    for name in ("A00001", "A00002", "A00003"):
        (tapes / f"{name}.tap").touch()
    own = folder / "own.tap"
    own.touch()
    luns = (f"0=changer:{tapes}", "1=tape:", "2=tape:", f"3=tape:{own}")
    async with machine(*luns) as programs:
        yield programs


def test_mtx_moves_tapes(machine: Machine, tmp_path: Path) -> None:
    async def main() -> None:
        async with library(machine, tmp_path) as programs:

            async def mtx(*words: str) -> str:
                return await programs.run("mtx", "-f", CHANGER, *words)

            async def status() -> dict[str, str]:
                """Barcodes by place: s1 is a slot, d0 a drive."""
                said = await mtx("status")
                assert "2 Drives, 28 Slots ( 4 Import/Export )" in said
                found = re.findall(
                    r"(Data Transfer|Storage) Element (\d+).*?:Full.*?VolumeTag ?= ?(\S+)", said
                )
                return {f"{kind[0].lower()}{number}": tag for kind, number, tag in found}

            slots = {"s1": "A00001", "s2": "A00002", "s3": "A00003"}
            assert await status() == slots
            await mtx("load", "2", "1")
            assert await status() == {"s1": "A00001", "d1": "A00002", "s3": "A00003"}
            assert "Storage Element 2 Loaded" in await mtx("status")
            await mtx("transfer", "1", "28")  # to an import/export element
            assert await status() == {"s28": "A00001", "d1": "A00002", "s3": "A00003"}
            await mtx("exchange", "28", "3", "1")
            assert await status() == {"s3": "A00001", "d1": "A00002", "s1": "A00003"}
            await mtx("unload", "2", "1")
            assert await status() == {"s3": "A00001", "s2": "A00002", "s1": "A00003"}
            await mtx("inventory")
            said = await programs.run("mtx", "-f", CHANGER, "load", "9", "0", status=1)
            assert "Empty" in said

    asyncio.run(main())


def test_what_a_library_tells(machine: Machine, tmp_path: Path) -> None:
    async def main() -> None:
        async with library(machine, tmp_path) as programs:
            await programs.run("mtx", "-f", CHANGER, "load", "1", "0")
            for command, told in {
                f"mtx -f {CHANGER} inquiry": "Product Type: Medium Changer",
                f"loaderinfo -f {CHANGER}": "Number of Data Transfer Elements: 2",
                f"tapeinfo -f {FIRST}": "Ready: yes\n",
                f"tapeinfo -f {SECOND}": "Ready: no\n",
                f"tapeinfo -f {OWN}": "BOP: yes",
                f"sg_inq {CHANGER}": "Peripheral device type: medium changer",
                f"sg_inq {OWN}": "Peripheral device type: tape",
                f"sg_read_block_limits {OWN}": "Minimum block size: 1 byte",
                f"sg_logs --page=0x2e {OWN}": "Tape alert page",
                f"sg_modes --page=0x1d {CHANGER}": "Element address assignment",
                f"sg_luns {CHANGER}": "4 lun entries",
            }.items():
                said = await programs.run(*command.split())
                assert told in said, f"{command}: {said}"

    asyncio.run(main())


def test_what_is_written_to_a_tape(machine: Machine, tmp_path: Path) -> None:
    content = os.urandom(4 * BLOCK)

    async def main() -> None:
        async with library(machine, tmp_path) as programs:

            async def tape(*words: str, stdin: bytes | None = None) -> str:
                return await programs.run("scsitape", "-f", FIRST, *words, stdin=stdin)

            await programs.run("mtx", "-f", CHANGER, "load", "3", "0")
            await programs.run("sg_turs", FIRST, status=6)  # it tells once that there is a tape
            await tape("setblk", str(BLOCK))
            for block in range(4):
                data = content[block * BLOCK :][:BLOCK]
                await programs.run("sg_raw", f"--send={BLOCK}", FIRST, *WRITE_BLOCK, stdin=data)
            await tape("mark", "1")
            await tape("rewind")
            said = await programs.run("tapeinfo", "-f", FIRST)
            assert f"BlockSize: {BLOCK}\n" in said
            target = tmp_path / "read"
            read = ("sg_raw", f"--request={4 * BLOCK}", f"--outfile={target}", FIRST)
            await programs.run(*read, *"08 01 00 00 04 00".split())
            assert target.read_bytes() == content
            await tape("fsf", "1")
            assert "Block Position: 5" in await programs.run("tapeinfo", "-f", FIRST)

    asyncio.run(main())


@pytest.mark.parametrize("program", ["mtx", "scsitape"])
def test_a_lun_that_is_not_there(machine: Machine, tmp_path: Path, program: str) -> None:
    async def main() -> None:
        async with library(machine, tmp_path) as programs:
            word = {"mtx": "status", "scsitape": "rewind"}[program]
            said = await programs.run(program, "-f", "/dev/pvsg/guest/0:0:0:9", word, status=1)
            assert "No such file" in said

    asyncio.run(main())
