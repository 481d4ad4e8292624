"""The smallest guests: of one vcpu that computes for ever."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from step import XL, command

KERNEL, CONFIG = Path("/run/spinner"), Path("/run/spinner.cfg")
BASE, PAGE = 0xFFFFFFFF80000000, 4096  # where Xen's builder puts guest frame 0
ENTRY = BASE + PAGE
JUMP_TO_ITSELF = b"\xeb\xfe"
# Xen's public/elfnote.h
NOTE_ENTRY, NOTE_VIRT_BASE, NOTE_XEN_VERSION, NOTE_GUEST_OS, NOTE_LOADER = 1, 3, 5, 6, 8
PT_LOAD, PT_NOTE, EXECUTABLE, X86_64, READ_EXECUTE = 1, 4, 2, 62, 5
HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")


def _note(kind: int, value: bytes) -> bytes:
    padded = value.ljust(-(-len(value) // 4) * 4, b"\0")
    return struct.pack("<III4s", 4, len(value), kind, b"Xen\0") + padded


def kernel() -> bytes:
    """An ELF file that Xen's domain builder takes for a PV kernel."""
    notes = (
        _note(NOTE_ENTRY, struct.pack("<Q", ENTRY))
        + _note(NOTE_VIRT_BASE, struct.pack("<Q", BASE))
        + _note(NOTE_XEN_VERSION, b"xen-3.0\0")
        + _note(NOTE_GUEST_OS, b"spinner\0")
        + _note(NOTE_LOADER, b"generic\0")
    )
    start = HEADER.size + 2 * PROGRAM_HEADER.size
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    sizes = HEADER.size, PROGRAM_HEADER.size, 2, 0, 0, 0
    header = HEADER.pack(ident, EXECUTABLE, X86_64, 1, ENTRY, HEADER.size, 0, 0, *sizes)

    def segment(kind: int, offset: int, content: bytes) -> bytes:
        size = len(content)
        return PROGRAM_HEADER.pack(kind, READ_EXECUTE, offset, ENTRY, PAGE, size, size, 4)

    segments = segment(PT_LOAD, start, JUMP_TO_ITSELF) + segment(PT_NOTE, start + 4, notes)
    return header + segments + JUMP_TO_ITSELF.ljust(4, b"\0") + notes


def _write(name: str) -> None:
    KERNEL.write_bytes(kernel())
    CONFIG.write_text(f'name = "{name}"\ntype = "pv"\nkernel = "{KERNEL}"\nmemory = 16\n')


@asynccontextmanager
async def spinners(names: list[str]) -> AsyncIterator[None]:
    """Guests of these names, which run from the time when all are there to the end of a block."""
    async with AsyncExitStack() as made:
        for name in names:
            _write(name)
            await command(XL, "create", "-p", str(CONFIG))
            made.push_async_callback(command, XL, "destroy", name)
        for name in names:
            await command(XL, "unpause", name)
        yield


async def cpu_times(names: list[str]) -> list[float]:
    """What `xl list` says that each has run, in seconds with one digit."""
    rows = [line.split() for line in (await command(XL, "list")).splitlines()[1:]]
    times = {row[0]: float(row[-1]) for row in rows}
    return [times[name] for name in names]
