"""EFI maps: granules against two models of the rule, and the maps that guests get."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.ring import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MachineError, MemoryExtent
from pvdrivers.sim.ia64.efi import (
    EFI_PAGE_SIZE,
    FIRMWARE_END,
    MEMMAP_INFO_PFN,
    Attribute,
    EfiDescriptor,
    MemoryType,
    decode_map,
    dom0_map,
    domu_map,
    encode_map,
    machine_with,
    set_efi_map,
    usable_memory,
)
from pvdrivers.sim.ia64.firmware_maps import FIRMWARE_MAPS, HP_ZX1, PRIMEQUEST
from pvdrivers.sim.ia64.hypercalls import get_memmap, machine_memory_map
from pvdrivers.sim.memory_map import MEMORY_MAPS

GIB = 1 << 30
MIB = 1 << 20
PAGE = 16384
MAGIC = range(MEMMAP_INFO_PFN * PAGE, (MEMMAP_INFO_PFN + 4) * PAGE)
USABLE = {
    MemoryType.LOADER_CODE,
    MemoryType.LOADER_DATA,
    MemoryType.BOOT_SERVICES_CODE,
    MemoryType.BOOT_SERVICES_DATA,
    MemoryType.CONVENTIONAL,
}
OF_MACHINE = {
    MemoryType.RUNTIME_SERVICES_CODE,
    MemoryType.RUNTIME_SERVICES_DATA,
    MemoryType.ACPI_RECLAIM,
    MemoryType.ACPI_NVS,
    MemoryType.RESERVED,
    MemoryType.MMIO,
    MemoryType.PORT_SPACE,
}
NO_GAP = {MemoryType.UNUSABLE, MemoryType.PAL_CODE}


@st.composite
def efi_maps(draw: st.DrawFn, unit: int = EFI_PAGE_SIZE) -> list[EfiDescriptor]:
    """Lines of any type and attribute, gaps or none between them; sizes in `unit`."""
    parts = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 0, 1, 5]),
                st.integers(1, 40),
                st.sampled_from([MemoryType.CONVENTIONAL, *MemoryType]),
                st.sampled_from(
                    [Attribute.WB, Attribute.WB | Attribute.UC, Attribute.UC, Attribute.WC]
                ),
            ),
            max_size=12,
        )
    )
    lines, end = [], 0
    for gap, size, kind, attribute in parts:
        start = end + gap * unit
        end = start + size * unit
        lines.append(EfiDescriptor(kind, start, size * unit, attribute))
    return lines


def pages(pieces: Iterable[EfiDescriptor | MemoryExtent], unit: int) -> set[int]:
    return {
        page
        for piece in pieces
        for page in range(piece.start // unit, (piece.start + piece.size) // unit)
    }


def is_usable(line: EfiDescriptor) -> bool:
    return line.type in USABLE and Attribute.WB in line.attribute


def by_granules(efi_map: list[EfiDescriptor], granule: int) -> set[int]:
    """The rule as one would say it: pages of 4 KiB in granules each page of which is WB."""
    cached = pages((md for md in efi_map if Attribute.WB in md.attribute), EFI_PAGE_SIZE)
    whole = {
        number
        for number in {page * EFI_PAGE_SIZE // granule for page in cached}
        if all(
            page in cached
            for page in range(
                number * granule // EFI_PAGE_SIZE, (number + 1) * granule // EFI_PAGE_SIZE
            )
        )
    }
    usable = pages((md for md in efi_map if is_usable(md)), EFI_PAGE_SIZE)
    return {page for page in usable if page * EFI_PAGE_SIZE // granule in whole}


def linux_walk(efi_map: list[EfiDescriptor], granule: int) -> Iterator[tuple[int, int]]:
    """Linux's way to the same (arch/ia64/kernel/efi.c): the ends of each run of WB lines are
    rounded inwards, and each usable line is cut to its run. Start and end of what is left."""
    low = high = 0
    before: EfiDescriptor | None = None
    for number, line in enumerate(efi_map):
        if Attribute.WB not in line.attribute:
            before = None
            continue
        if before is None or before.end != line.start:
            low, high = -(-line.start // granule) * granule, line.end
            for later in efi_map[number + 1 :]:
                if Attribute.WB not in later.attribute or later.start != high:
                    break
                high = later.end
            high = high // granule * granule
        before = line
        if is_usable(line) and max(line.start, low) < min(line.end, high):
            yield max(line.start, low), min(line.end, high)


def as_linux_walks(efi_map: list[EfiDescriptor], granule: int) -> set[int]:
    """In pages of 4 KiB."""
    return {
        page
        for start, end in linux_walk(efi_map, granule)
        for page in range(start // EFI_PAGE_SIZE, end // EFI_PAGE_SIZE)
    }


def in_whole_pages(efi_pages: set[int]) -> set[int]:
    per_page = PAGE // EFI_PAGE_SIZE
    return {
        page
        for page in {number // per_page for number in efi_pages}
        if all(page * per_page + i in efi_pages for i in range(per_page))
    }


# ---- Granules ------------------------------------------------------------------------------------


@given(efi_map=efi_maps(), granule=st.sampled_from([PAGE, 4 * PAGE, 16 * PAGE]))
def test_memory_is_what_lies_in_granules_that_are_wb_from_end_to_end(
    efi_map: list[EfiDescriptor], granule: int
) -> None:
    rule = by_granules(efi_map, granule)
    assert as_linux_walks(efi_map, granule) == rule
    found = usable_memory(efi_map, granule)
    assert pages(found, PAGE) == in_whole_pages(rule)
    assert all(extent.start % PAGE == extent.size % PAGE == 0 for extent in found)
    assert found == sorted(found, key=lambda extent: extent.start)


@pytest.mark.parametrize("granule", [16 * MIB, 64 * MIB])
def test_a_machine_gives_up_more_memory_to_larger_granules(granule: int) -> None:
    found = usable_memory(HP_ZX1, granule)
    # The VGA window is not WB, so the first granule goes; then come all three pieces.
    assert found[0].start == granule
    assert found[0].start + found[0].size == 0x3F600000
    assert [extent.start // GIB for extent in found] == [0, 4, 257]


named_map = pytest.mark.parametrize("name", FIRMWARE_MAPS)


def is_cached(efi_map: list[EfiDescriptor], start: int, end: int) -> bool:
    """Whether the map has all of it as WB."""
    for line in efi_map:
        if line.start <= start < line.end and Attribute.WB in line.attribute:
            start = line.end
    return start >= end


@named_map
@pytest.mark.parametrize("granule", [16 * MIB, 64 * MIB])
def test_named_machines_have_the_memory_that_linux_takes(name: str, granule: int) -> None:
    efi_map = FIRMWARE_MAPS[name]
    walked: list[tuple[int, int]] = []
    for start, end in linux_walk(efi_map, granule):
        start, end = -(-start // PAGE) * PAGE, end // PAGE * PAGE
        if walked and walked[-1][1] == start:
            start = walked.pop()[0]
        walked.append((start, end))
    found = usable_memory(efi_map, granule)
    assert [(extent.start, extent.end) for extent in found] == walked


@named_map
@pytest.mark.parametrize("granule", [16 * MIB, 64 * MIB])
def test_named_machines_are_cut_where_the_rule_says(name: str, granule: int) -> None:
    """The granules at the ends of each piece are WB; what lies beyond an end is not usable, or in a
    granule that is not."""
    efi_map = FIRMWARE_MAPS[name]
    usable = [md for md in efi_map if is_usable(md)]
    for extent in usable_memory(efi_map, granule):
        for inside, outside in ((extent.start, extent.start - 1), (extent.end - 1, extent.end)):
            first = inside // granule * granule
            assert is_cached(efi_map, first, first + granule)
            if any(md.start <= outside < md.end for md in usable):
                first = outside // granule * granule
                assert not is_cached(efi_map, first, first + granule)


@named_map
def test_named_machines_are_those_of_the_memory_map_with_that_name(name: str) -> None:
    """Firmware and granules take less than 128 MiB of each piece."""
    assert FIRMWARE_MAPS.keys() == MEMORY_MAPS.keys()
    pieces = MEMORY_MAPS[name].present
    found = usable_memory(FIRMWARE_MAPS[name], 64 * MIB)
    for piece in pieces:
        inside = [part for part in found if piece.start <= part.start and part.end <= piece.end]
        assert 0 <= piece.size - sum(part.size for part in inside) < 128 * MIB
        found = [part for part in found if part not in inside]
    assert not found


@named_map
def test_dom0_of_a_named_machine_has_memory_where_the_machine_has(name: str) -> None:
    first = usable_memory(FIRMWARE_MAPS[name])[0]
    end = first.start + 512 * MIB
    with machine_with(FIRMWARE_MAPS[name], max_domains=4) as machine:
        dom0 = machine.create_domain(abi=Abi.IA64, memory=end, privileged=True)
        own = [md for md in get_memmap(dom0, dom0.domid) if md.type is MemoryType.CONVENTIONAL]
        assert own == [md for md in dom0_map(FIRMWARE_MAPS[name], end, end) if md in own]
        assert sum(md.size for md in own) // PAGE + 6 == dom0.info.pages, "firmware, magic pages"
        assert all(machine.has_frame(dom0.gfn_to_mfn(md.start // PAGE)) for md in own)
        assert machine_memory_map(dom0) == FIRMWARE_MAPS[name]


def test_a_cell_gives_up_the_granule_of_what_it_keeps_for_itself() -> None:
    cell = MEMORY_MAPS["primequest"].extents[2]
    for granule in (16 * MIB, 64 * MIB):
        found = [part for part in usable_memory(PRIMEQUEST, granule) if part.start == cell.start]
        assert [part.end for part in found] == [cell.end - granule]


def test_one_uncached_page_costs_its_granule_and_no_other() -> None:
    hole = EfiDescriptor(MemoryType.MMIO, 20 * MIB, EFI_PAGE_SIZE, Attribute.UC)
    efi_map = [
        EfiDescriptor(MemoryType.CONVENTIONAL, 0, 20 * MIB),
        hole,
        EfiDescriptor(MemoryType.CONVENTIONAL, hole.end, 64 * MIB - hole.end),
    ]
    assert usable_memory(efi_map) == [
        MemoryExtent(0, 16 * MIB),
        MemoryExtent(32 * MIB, 32 * MIB),
    ]
    assert usable_memory(efi_map, 64 * MIB) == []


def test_firmware_that_is_wb_costs_only_itself() -> None:
    efi_map = [
        EfiDescriptor(MemoryType.CONVENTIONAL, 0, 8 * MIB),
        EfiDescriptor(MemoryType.RUNTIME_SERVICES_DATA, 8 * MIB, 4 * MIB),
        EfiDescriptor(MemoryType.LOADER_DATA, 12 * MIB, 4 * MIB),
    ]
    assert usable_memory(efi_map) == [
        MemoryExtent(0, 8 * MIB),
        MemoryExtent(12 * MIB, 4 * MIB),
    ]


@pytest.mark.parametrize("granule", [0, PAGE // 2, 3 * PAGE])
def test_a_granule_is_a_power_of_two(granule: int) -> None:
    with pytest.raises(MachineError):
        usable_memory(HP_ZX1, granule)


# ---- Guests' maps --------------------------------------------------------------------------------


def outside_of_firmware(line: EfiDescriptor) -> list[tuple[int, int]]:
    parts = [
        (max(line.start, FIRMWARE_END), min(line.end, MAGIC.start)),
        (max(line.start, MAGIC.stop), line.end),
    ]
    return [(start, end) for start, end in parts if start < end]


@given(
    efi_map=efi_maps(),
    memory=st.integers(0, 400).map(lambda n: n * PAGE),
    end=st.sampled_from([1 << 63, 64 * PAGE]),
)
def test_dom0_sees_the_machine_and_has_memory_only_where_the_machine_has(
    efi_map: list[EfiDescriptor], memory: int, end: int
) -> None:
    found = dom0_map(efi_map, memory, end)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    own = [md for md in found if md.type is MemoryType.CONVENTIONAL]
    assert pages(own, EFI_PAGE_SIZE) <= pages(
        (md for md in efi_map if is_usable(md)), EFI_PAGE_SIZE
    ) - set(range(FIRMWARE_END // EFI_PAGE_SIZE))
    assert sum(md.size for md in own) <= memory
    assert all(md.end <= end and md.start % PAGE == md.size % PAGE == 0 for md in own)
    shown = {(md.type, md.attribute, md.start, md.end) for md in found}
    for line in efi_map:
        for part in outside_of_firmware(line):
            if line.type in OF_MACHINE:
                assert (line.type, line.attribute, *part) in shown
            if line.type in NO_GAP:
                assert (MemoryType.UNUSABLE, Attribute.WB, *part) in shown


@given(efi_map=efi_maps(), granule=st.sampled_from([PAGE, 4 * PAGE]))
def test_dom0_finds_no_gap_where_the_machine_has_none(
    efi_map: list[EfiDescriptor], granule: int
) -> None:
    """So Linux in dom0 takes no granule for uncached that is cached on the machine."""
    kept = [md for md in efi_map if md.type is not MemoryType.PORT_SPACE or md.start < 1 << 50]
    on_machine = by_granules(kept, granule)
    in_dom0 = by_granules(dom0_map(kept, 1 << 40), granule)
    firmware = range((MAGIC.stop + granule) // EFI_PAGE_SIZE)
    whole = in_whole_pages(on_machine - set(firmware))
    assert whole <= in_whole_pages(in_dom0)


def test_dom0_on_a_zx1() -> None:
    found = dom0_map(HP_ZX1, "2G")
    own = [md for md in found if md.type is MemoryType.CONVENTIONAL]
    assert [md.start for md in own] == [FIRMWARE_END, MAGIC.stop, 0x100000, 4 * GIB]
    assert own[2].end == 0x3F600000
    fixed = FIRMWARE_END + len(MAGIC)
    assert sum(md.size for md in own) + fixed == 2 * GIB
    ports = next(md for md in found if md.type is MemoryType.PORT_SPACE)
    assert (ports.start, ports.end) == (0x3FFFFFFFC000000, 0x400000000000000)
    assert found[-1] == ports


def test_ports_beyond_a_guests_addresses_are_moved() -> None:
    high = EfiDescriptor(MemoryType.PORT_SPACE, 0x1FFFFFFFFC000000, 64 * MIB, Attribute.UC)
    ports = dom0_map([high], "64M")[-1]
    assert (ports.start, ports.end) == (0x4000000000000 - 64 * MIB, 0x4000000000000)


def test_read_only_and_uncached_firmware_keeps_its_attributes_in_dom0() -> None:
    found = {md.start: md.attribute for md in dom0_map(HP_ZX1, "64M")}
    assert found[0xC0000] == Attribute.UC | Attribute.WB | Attribute.WP
    assert found[0xFF800000] == Attribute.UC


def test_another_guest_has_one_piece_around_its_magic_pages() -> None:
    assert [(md.type, md.start, md.end) for md in domu_map("64M")] == [
        (MemoryType.PAL_CODE, 0, 0x1000),
        (MemoryType.ACPI_NVS, 0x1000, 0x2000),
        (MemoryType.RUNTIME_SERVICES_DATA, 0x2000, FIRMWARE_END),
        (MemoryType.CONVENTIONAL, FIRMWARE_END, MAGIC.start),
        (MemoryType.RUNTIME_SERVICES_DATA, MAGIC.start, MAGIC.stop),
        (MemoryType.CONVENTIONAL, MAGIC.stop, 64 * MIB),
        (MemoryType.PORT_SPACE, 0xFFFFC000000, 0x100000000000),
    ]
    assert usable_memory(domu_map("64M")) == [
        MemoryExtent(2 * PAGE, 10 * PAGE),
        MemoryExtent(MAGIC.stop, 64 * MIB - MAGIC.stop),
    ]


def test_a_guests_map_has_room_for_the_largest_of_the_machines() -> None:
    lines = [
        EfiDescriptor(MemoryType.ACPI_NVS, (100 + 2 * i) * PAGE, EFI_PAGE_SIZE) for i in range(256)
    ]
    assert len(dom0_map(lines[:252], "64M")) == 256
    with pytest.raises(MachineError):
        dom0_map(lines, "64M")


# ---- A machine's map, and its bytes --------------------------------------------------------------


def test_a_machine_has_the_memory_of_its_map() -> None:
    with machine_with(HP_ZX1) as machine:
        assert machine.total_memory == sum(extent.size for extent in usable_memory(HP_ZX1))
        assert not machine.has_frame(0xC0000 >> 12)
        assert machine.has_frame(258 * GIB >> 12)


def test_a_map_without_the_machines_memory_is_refused() -> None:
    with Machine("64M") as machine:
        with pytest.raises(UsageError, match="not usable in the EFI map"):
            set_efi_map(machine, HP_ZX1)
        with pytest.raises(UsageError, match="256 at most"):
            set_efi_map(machine, [EfiDescriptor(MemoryType.MMIO, 0, 4096)] * 257)
        twice = [EfiDescriptor(MemoryType.CONVENTIONAL, 0, 64 * MIB)] * 2
        with pytest.raises(UsageError, match="ascend"):
            set_efi_map(machine, twice)
        set_efi_map(machine, twice[:1])


def test_a_map_comes_before_the_first_domain() -> None:
    with Machine("64M") as machine:
        machine.create_domain(memory="4M").destroy()
        with pytest.raises(MachineError, match="busy"):
            set_efi_map(machine, [EfiDescriptor(MemoryType.CONVENTIONAL, 0, 64 * MIB)])


def test_a_line_has_whole_efi_pages() -> None:
    with pytest.raises(UsageError, match="pages of 4 KiB"):
        usable_memory([EfiDescriptor(MemoryType.CONVENTIONAL, 0, 6000)])


@given(efi_map=efi_maps())
def test_bytes_and_lines_are_the_same_map(efi_map: list[EfiDescriptor]) -> None:
    assert decode_map(encode_map(efi_map)) == efi_map
    assert len(encode_map(efi_map)) == 24 + 40 * len(efi_map)


def test_lines_may_be_longer_than_ours() -> None:
    line = EfiDescriptor(MemoryType.CONVENTIONAL, 0, MIB)
    head, body = encode_map([line])[:24], encode_map([line])[24:]
    size = (48).to_bytes(8, "little")
    assert decode_map(size + size + head[16:] + body + bytes(8)) == [line]


@pytest.mark.parametrize("length", [0, 8, 24, 60])
def test_a_map_that_is_cut_off_is_refused(length: int) -> None:
    line = EfiDescriptor(MemoryType.CONVENTIONAL, 0, MIB)
    with pytest.raises(UsageError, match="no EFI map"):
        decode_map(encode_map([line])[:length])


@given(data=st.binary(max_size=200))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        decode_map(data)
