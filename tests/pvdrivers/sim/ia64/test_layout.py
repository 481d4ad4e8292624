"""What an ia64 guest finds of Xen in its guest-physical addresses, and what others see of that."""

from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring import Abi, layout
from pvdrivers.sim import Domain, Machine, MachineError
from pvdrivers.sim.ia64.efi import (
    CONSOLE_PFN,
    FIRMWARE_END,
    MEMMAP_INFO_PFN,
    START_INFO_PFN,
    XENSTORE_PFN,
    MemoryType,
    decode_map,
    dom0_map,
    domu_map,
    machine_with,
)
from pvdrivers.sim.ia64.firmware_maps import HP_ZX1
from pvdrivers.sim.ia64.virtual_map import LAST
from pvdrivers.toolstack.domain_builder import StartInfo, build

PAGE = 16384
SHARED_INFO, MAPPED_REGS, GRANT_TABLE = (
    int(lib.PV_IA64_SHARED_INFO_GFN),
    int(lib.PV_IA64_MAPPED_REGS_GFN),
    int(lib.PV_IA64_GRANT_TABLE_GFN),
)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("256M") as machine:
        yield machine


@pytest.fixture
def dom0(machine: Machine) -> Domain:
    return machine.create_domain(privileged=True, memory="8M")


@pytest.fixture
def guest(dom0: Domain) -> Domain:
    return dom0.machine.create_domain(abi=Abi.IA64, memory="8M", vcpus=3)


def read(viewer: Domain, owner: Domain, gfn: int) -> bytes:
    """A page as a domain that maps it sees it."""
    pages = viewer.hypervisor.map_foreign(owner.domid, [gfn], True, PAGE)
    data = bytes(pages.view)
    viewer.hypervisor.unmap_foreign(owner.domid, pages)
    return data


def number(data: bytes, struct: str, field: str) -> int:
    offset, size = layout(struct, Abi.IA64).fields[field]
    return int.from_bytes(data[offset : offset + size], "little")


def test_addresses_are_those_of_xens_headers() -> None:
    assert SHARED_INFO * PAGE == 1 << 40
    assert MAPPED_REGS * PAGE == (1 << 40) + 16384
    assert GRANT_TABLE * PAGE == (1 << 40) + 16384 + 64 * 16384


def test_shared_info_is_one_page_for_xen_the_guest_and_dom0(dom0: Domain, guest: Domain) -> None:
    mine = guest.hypervisor.map_foreign(guest.domid, [SHARED_INFO])
    offset, _ = layout("shared_info", Abi.IA64).fields["wc_sec"]
    mine.view[offset : offset + 4] = b"1970"
    assert read(dom0, guest, SHARED_INFO)[offset : offset + 4] == b"1970"
    mask = layout("shared_info", Abi.IA64).fields["evtchn_mask"][0]
    channels = guest.hypervisor.open_event_channels()
    port = channels.bind_unbound_port(dom0.domid)
    before = mine.view[mask + port // 8]
    channels.close()
    assert before >> port % 8 & 1 == 0, "a bound port is not masked in the page that we see"
    guest.hypervisor.unmap_foreign(guest.domid, mine)


def test_each_vcpu_has_a_page_of_privileged_registers(guest: Domain) -> None:
    for vcpu in range(3):
        regs = read(guest, guest, MAPPED_REGS + vcpu)
        mask = LAST.shared_info + vcpu * layout("vcpu_info", Abi.IA64).size + 1
        assert number(regs, "mapped_regs", "interrupt_mask_addr") == mask
    with pytest.raises(OSError, match="14"):
        read(guest, guest, MAPPED_REGS + 3)


def test_registers_that_a_guest_writes_are_what_a_dumper_reads(dom0: Domain, guest: Domain) -> None:
    mine = guest.hypervisor.map_foreign(guest.domid, [MAPPED_REGS + 1])
    regs = ffi.cast("struct mapped_regs *", ffi.from_buffer(mine.view))
    regs.vcr.ipsr, regs.banknum = 0x1010084A6010, 1
    seen = read(dom0, guest, MAPPED_REGS + 1)
    assert int.from_bytes(seen[2176:2184], "little") == 0x1010084A6010
    assert number(seen, "mapped_regs", "banknum") == 1
    del regs
    guest.hypervisor.unmap_foreign(guest.domid, mine)


def test_grant_frames_follow_and_grow_with_the_table(dom0: Domain, guest: Domain) -> None:
    with pytest.raises(MachineError):
        guest.gfn_to_mfn(GRANT_TABLE + 1)
    setup = ffi.new("struct gnttab_setup_table_x86_64 *")
    frames = ffi.new("uint64_t[2]")
    setup.dom, setup.nr_frames = lib.DOMID_SELF, 2
    setup.frame_list = int(ffi.cast("uintptr_t", frames))
    assert lib.pv_gnttab_op_setup_table(guest.machine.cdata, guest.domid, setup) == 0
    assert [guest.gfn_to_mfn(GRANT_TABLE + i) for i in range(2)] == list(frames)
    entries = ffi.new("struct pv_grant_entries *")
    lib.pv_gnttab_entries(guest.machine.cdata, guest.domid, entries)
    ffi.cast("struct grant_entry_v1 *", entries.shared)[9].frame = 0x1234
    offset = 9 * layout("grant_entry_v1", Abi.IA64).size
    seen = read(dom0, guest, GRANT_TABLE)
    assert seen[offset + 4 : offset + 8] == (0x1234).to_bytes(4, "little")


@pytest.mark.parametrize(
    "gfn", [SHARED_INFO - 1, GRANT_TABLE + 64, (1 << 64) - 1, 8 << 20 >> 14], ids=hex
)
def test_between_memory_and_xens_pages_there_is_nothing(guest: Domain, gfn: int) -> None:
    with pytest.raises(MachineError):
        guest.gfn_to_mfn(gfn)


def test_other_abis_have_nothing_there(dom0: Domain) -> None:
    with pytest.raises(MachineError):
        dom0.gfn_to_mfn(SHARED_INFO)


def test_xens_pages_are_not_the_guests_to_grant(dom0: Domain, guest: Domain) -> None:
    entries = ffi.new("struct pv_grant_entries *")
    lib.pv_gnttab_entries(guest.machine.cdata, guest.domid, entries)
    entry = ffi.cast("struct grant_entry_v1 *", entries.shared)[20]
    entry.domid, entry.frame, entry.flags = dom0.domid, SHARED_INFO, 1
    op = ffi.new("struct gnttab_map_grant_ref *")
    op.ref, op.dom, op.flags = 20, guest.domid, 2
    assert lib.pv_gnttab_op_map(guest.machine.cdata, dom0.domid, op, 1) == 0
    assert op.status == lib.GNTST_bad_page


def test_a_pages_frame_is_memory_like_any_other(guest: Domain) -> None:
    for gfn in (SHARED_INFO, MAPPED_REGS, GRANT_TABLE):
        assert guest.machine.has_frame(guest.gfn_to_mfn(gfn))


def test_the_next_domain_starts_from_zeros(dom0: Domain, guest: Domain) -> None:
    mine = guest.hypervisor.map_foreign(guest.domid, [MAPPED_REGS])
    mine.view[1024] = 7
    guest.hypervisor.unmap_foreign(guest.domid, mine)
    guest.destroy()
    again = dom0.machine.create_domain(domid=guest.domid, abi=Abi.IA64, memory="8M")
    assert read(dom0, again, MAPPED_REGS)[1024] == 0


# ---- Magic pages ---------------------------------------------------------------------------------


def test_a_guest_finds_start_info_and_its_map_by_shared_info(guest: Domain) -> None:
    built = build(guest)
    shared = read(guest, guest, SHARED_INFO)
    arch = layout("shared_info", Abi.IA64).fields["arch"][0]
    found = {
        field: number(shared[arch:], "arch_shared_info", field)
        for field in ("start_info_pfn", "memmap_info_num_pages", "memmap_info_pfn")
    }
    assert found == {
        "start_info_pfn": START_INFO_PFN,
        "memmap_info_num_pages": 1,
        "memmap_info_pfn": MEMMAP_INFO_PFN,
    }
    info = StartInfo.read(memoryview(read(guest, guest, found["start_info_pfn"])), Abi.IA64)
    assert info == built
    assert (info.store_gfn, CONSOLE_PFN) == (XENSTORE_PFN, XENSTORE_PFN + 1)
    assert decode_map(read(guest, guest, found["memmap_info_pfn"])) == domu_map("8M")


def test_boot_parameters_lie_behind_start_info(guest: Domain) -> None:
    """Where r28 points at boot: the kernel reads its memory map and its command line from there."""
    build(guest)
    page = read(guest, guest, START_INFO_PFN)
    size = layout("start_info", Abi.IA64).size
    param = page[size : size + layout("xen_ia64_boot_param", Abi.IA64).size]
    start = number(param, "xen_ia64_boot_param", "efi_memmap")
    length = number(param, "xen_ia64_boot_param", "efi_memmap_size")
    memory_map = read(guest, guest, start // PAGE)
    head = memory_map[: start % PAGE]
    assert decode_map(head + memory_map[start % PAGE :][:length]) == domu_map("8M")
    assert length == 40 * len(domu_map("8M"))
    line = number(param, "xen_ia64_boot_param", "command_line")
    assert (line // PAGE, line % PAGE) == (START_INFO_PFN, 128)


def test_dom0s_physmap_has_memory_where_its_map_says_so() -> None:
    with machine_with(HP_ZX1) as machine:
        dom0 = machine.create_domain(abi=Abi.IA64, memory="64M", privileged=True)
        efi_map = decode_map(read(dom0, dom0, MEMMAP_INFO_PFN))
        assert efi_map == dom0_map(HP_ZX1, "64M", 64 << 20)
        own = [md for md in efi_map if md.type is MemoryType.CONVENTIONAL]
        for gfn in range(16, 64 << 20 >> 14):
            if any(md.start <= gfn * PAGE < md.end for md in own):
                assert dom0.gfn_to_mfn(gfn)
            else:
                with pytest.raises(MachineError):
                    dom0.gfn_to_mfn(gfn)
        vga_and_bios = (0x100000 - 0xA0000) // PAGE
        assert dom0.info.pages == (64 << 20 >> 14) - vga_and_bios
        pages = dom0.hypervisor.allocate_pages(8)
        assert pages.count == 8


def test_another_guest_on_that_machine_has_one_piece() -> None:
    with machine_with(HP_ZX1) as machine:
        machine.create_domain(abi=Abi.IA64, memory="16M", privileged=True)
        guest = machine.create_domain(abi=Abi.IA64, memory="16M")
        assert guest.info.pages == 1024
        assert decode_map(read(guest, guest, MEMMAP_INFO_PFN)) == domu_map("16M")


def test_a_dom0_below_all_memory_of_the_machine_is_refused() -> None:
    high = [md for md in HP_ZX1 if md.start >= 4 << 30]
    with machine_with(high) as machine, pytest.raises(MachineError, match="allocate memory"):
        machine.create_domain(abi=Abi.IA64, memory="64M", privileged=True)


def test_a_domain_too_small_for_magic_pages_has_none(dom0: Domain) -> None:
    tiny = dom0.machine.create_domain(abi=Abi.IA64, memory=15 * PAGE)
    arch = layout("shared_info", Abi.IA64).fields["arch"][0]
    assert read(dom0, tiny, SHARED_INFO)[arch : arch + 24] == bytes(24)
    assert FIRMWARE_END < 15 * PAGE
