"""The ram store's memory: large pages where they surely fit, nothing for what was never written."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from pvdrivers._core import ffi
from pvdrivers.backends.stores.store import RamStore

LARGE_PAGE = 2 << 20
SECTORS_OF_LARGE_PAGE = LARGE_PAGE // 512
PAGE = os.sysconf("SC_PAGE_SIZE")
MEMORY = os.sysconf("SC_PHYS_PAGES") * PAGE
TEBI = 1 << 40

large_pages = pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(),
    reason="needs a kernel with transparent huge pages",
)


class Mapping(NamedTuple):
    start: int
    resident: int  # bytes
    flags: set[str]  # hg: large pages are wanted, nh: they are not


def mapping(store: RamStore) -> Mapping:
    """What the kernel says of the memory that a store's first sector lies in."""
    address = int(ffi.cast("uintptr_t", store.pointer.ops.memory(store.pointer, 0, 1)))
    for text in re.split(r"\n(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text()):
        start, end = (int(word, 16) for word in text.split(maxsplit=1)[0].split("-"))
        if start <= address < end:
            resident = re.search(r"^Rss: +(\d+) kB", text, re.MULTILINE)
            flags = re.search(r"^VmFlags: (.*)", text, re.MULTILINE)
            assert resident
            assert flags
            return Mapping(start, int(resident[1]) << 10, set(flags[1].split()))
    raise AssertionError("no mapping has the store's memory")


@large_pages
def test_large_pages_are_asked_for() -> None:
    with RamStore(4 * LARGE_PAGE + 512) as store:
        memory = mapping(store)
        assert "hg" in memory.flags
        assert memory.start % LARGE_PAGE == 0
        store.write(4 * SECTORS_OF_LARGE_PAGE, b"e" * 512)
        assert store.read(4 * SECTORS_OF_LARGE_PAGE, 1) == b"e" * 512


@large_pages
def test_large_pages_fit_into_half_of_the_memory() -> None:
    """Those of all stores together, so that sparse ones cannot take the host's memory."""
    size = MEMORY * 3 // 8 // LARGE_PAGE * LARGE_PAGE
    with RamStore(size) as store:
        assert "hg" in mapping(store).flags
        with RamStore(size) as late:
            assert "nh" in mapping(late).flags
    for _ in range(2):  # what is closed makes room
        with RamStore(size) as store:
            assert "hg" in mapping(store).flags


def test_a_disk_larger_than_memory_costs_what_is_written() -> None:
    sectors = range(0, TEBI // 512, (4 << 30) // 512)
    with RamStore(TEBI) as store:
        for sector in sectors:
            store.write(sector, b"x" * 4096)
        assert mapping(store).resident <= len(sectors) * PAGE


def test_large_pages_are_not_asked_for_where_none_fits() -> None:
    with RamStore(LARGE_PAGE - 512) as store:
        assert "hg" not in mapping(store).flags


def test_discard_gives_memory_back() -> None:
    with RamStore(4 * LARGE_PAGE) as store:
        for page in range(4):
            store.write(page * SECTORS_OF_LARGE_PAGE, b"x" * LARGE_PAGE)
        assert mapping(store).resident == 4 * LARGE_PAGE
        store.discard(SECTORS_OF_LARGE_PAGE, 2 * SECTORS_OF_LARGE_PAGE)
        assert mapping(store).resident == 2 * LARGE_PAGE
        edge = store.read(SECTORS_OF_LARGE_PAGE - 8, 16)
        assert edge == b"x" * 4096 + bytes(4096)


def test_discard_of_part_of_a_large_page() -> None:
    with RamStore(LARGE_PAGE) as store:
        store.write(0, b"x" * LARGE_PAGE)
        store.discard(9, SECTORS_OF_LARGE_PAGE - 18)
        expected = b"x" * 9 * 512 + bytes(LARGE_PAGE - 18 * 512) + b"x" * 9 * 512
        assert store.read(0, SECTORS_OF_LARGE_PAGE) == expected


@pytest.mark.parametrize("size", [1 << 64, (1 << 64) - 512, (1 << 64) + 512])
def test_no_computer_has_that_much(size: int) -> None:
    with pytest.raises(OSError, match="Cannot allocate memory"):
        RamStore(size)
