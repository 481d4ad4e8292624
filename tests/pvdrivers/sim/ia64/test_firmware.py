"""What an ia64 kernel finds as its firmware, from the boot parameters on: read as Linux reads
it, by the specifications' layouts, and by Debian's ACPI compiler and disassembler of ia64."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvdrivers.ring import Abi, layout
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.ia64.efi import FIRMWARE_END, MemoryType, decode_map, machine_with
from pvdrivers.sim.ia64.firmware_maps import HP_ZX1
from pvdrivers.sim.ia64.hypercalls import get_memmap
from pvdrivers.toolstack.domain_builder import START_INFO_GFN, build

PAGE = 16384
SAL_SYSTEM_TABLE = uuid.UUID("eb9d2d32-2d88-11d3-9a16-0090273fc14d")
ACPI_20 = uuid.UUID("8868e871-e4f1-11d3-bc22-0080c73c8881")
SERVICES = (
    "get_time set_time get_wakeup_time set_wakeup_time set_virtual_address_map convert_pointer"
    " get_variable get_next_variable set_variable get_next_high_mono_count reset_system"
).split()


@pytest.fixture
def dom0() -> Iterator[Domain]:
    with machine_with(HP_ZX1) as machine:
        yield machine.create_domain(abi=Abi.IA64, memory="32M", vcpus=5, privileged=True)


class Memory:
    """A guest's memory as its kernel reads it before it has translations."""

    def __init__(self, domain: Domain) -> None:
        build(domain)
        window = domain.hypervisor.map_foreign(domain.domid, list(range(16)), True)
        self.data = bytes(window.view)
        domain.hypervisor.unmap_foreign(domain.domid, window)

    def read(self, address: int, size: int) -> bytes:
        assert address + size <= len(self.data)
        return self.data[address : address + size]

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.read(address, 8 * count))

    def number(self, address: int, size: int) -> int:
        return int.from_bytes(self.read(address, size), "little")

    def boot_param(self, field: str) -> int:
        """By what r28 points to."""
        start = START_INFO_GFN[Abi.IA64] * PAGE + layout("start_info", Abi.IA64).size
        offset, size = layout("xen_ia64_boot_param", Abi.IA64).fields[field]
        return self.number(start + offset, size)


# ---- EFI -----------------------------------------------------------------------------------------


def configuration(memory: Memory) -> dict[uuid.UUID, int]:
    """The tables that EFI's system table names."""
    system = memory.boot_param("efi_systab")
    assert memory.read(system, 8) == b"IBI SYST"
    assert memory.number(system + 8, 4) >> 16 == 1, "EFI 1.x, or Linux complains"
    count, tables = memory.words(system + 104, 2)
    entries = [memory.read(tables + 24 * i, 24) for i in range(count)]
    return {
        uuid.UUID(bytes_le=entry[:16]): int.from_bytes(entry[16:], "little") for entry in entries
    }


def services(memory: Memory) -> dict[str, int]:
    """Where the code of each runtime service is."""
    system = memory.boot_param("efi_systab")
    (runtime,) = memory.words(system + 88, 1)
    assert memory.read(runtime, 8) == b"RUNTSERV"
    descriptors = zip(SERVICES, memory.words(runtime + 24, 11), strict=True)
    return {name: memory.words(at, 2)[0] for name, at in descriptors if at}


def test_a_kernel_finds_its_tables_by_the_boot_parameters(dom0: Domain) -> None:
    guest = dom0.machine.create_domain(abi=Abi.IA64, memory="8M")
    for domain in (dom0, guest):
        memory = Memory(domain)
        assert configuration(memory).keys() == {SAL_SYSTEM_TABLE, ACPI_20}
        vendor = memory.words(memory.boot_param("efi_systab") + 24, 1)[0]
        assert memory.read(vendor, 18).decode("utf-16-le") == "Xen/ia64\0"
        lines = (memory.boot_param("efi_memmap"), memory.boot_param("efi_memmap_size"))
        assert decode_map(memory.read(lines[0] - 24, lines[1] + 24)) == get_memmap(
            domain, domain.domid
        )
        assert memory.boot_param("fpswa") == 0, "there is none"


def test_what_the_firmware_needs_at_runtime_is_runtime_memory(dom0: Domain) -> None:
    """A kernel maps these lines for SetVirtualAddressMap, and all that is called or read lies in
    them."""
    memory = Memory(dom0)
    firmware = [md for md in get_memmap(dom0, dom0.domid) if md.end <= FIRMWARE_END]

    def kind_at(address: int) -> MemoryType:
        return next(md.type for md in firmware if md.start <= address < md.end)

    assert {kind_at(entry) for entry in services(memory).values()} == {MemoryType.PAL_CODE}
    tables = configuration(memory)
    assert kind_at(tables[SAL_SYSTEM_TABLE]) is MemoryType.RUNTIME_SERVICES_DATA
    assert kind_at(tables[ACPI_20]) is MemoryType.ACPI_NVS


# ---- SAL -----------------------------------------------------------------------------------------


def sal_entries(memory: Memory) -> list[bytes]:
    """As Linux goes through them: by their types' sizes."""
    at = configuration(memory)[SAL_SYSTEM_TABLE]
    assert memory.read(at, 4) == b"SST_"
    sizes, entries, offset = {0: 48, 5: 16}, [], 96
    for _ in range(memory.number(at + 10, 2)):
        size = sizes[memory.number(at + offset, 1)]
        entries.append(memory.read(at + offset, size))
        offset += size
    assert sum(memory.read(at, offset)) % 256 == 0, "the checksum is of table and entries"
    return entries


def test_sal_has_entry_points_and_wakes_processors_by_an_interrupt(dom0: Domain) -> None:
    entry_point, wakeup = sal_entries(Memory(dom0))
    assert struct.unpack("<B7x3Q16x", entry_point) == (0, 0x800, 0x820, 0)
    assert struct.unpack("<BB6xQ", wakeup) == (5, 0, 0xF3)


# ---- Stubs ---------------------------------------------------------------------------------------


def disassembled(memory: Memory, tmp_path: Path) -> dict[int, list[str]]:
    """The instructions of each bundle of the stubs, as binutils reads them."""
    objdump = shutil.which("ia64-linux-gnu-objdump")
    if objdump is None:
        pytest.skip("needs ia64-linux-gnu-objdump (Debian package binutils-ia64-linux-gnu)")
    code = tmp_path / "stubs"
    code.write_bytes(memory.read(0, 0x1000))
    command = [objdump, "-D", "-z", "-b", "binary", "-m", "ia64-elf64", code]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bundles: dict[int, list[str]] = {}
    for line in text.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\t(?:[0-9a-f]{2} )+\s*(?:\[\w+\])?\s*(.*)", line)
        if match:
            bundles.setdefault(int(match[1], 16) & -16, []).append(" ".join(match[2].split()))
    return bundles


def calls(hypercall: int) -> list[str]:
    return [f"mov r2={hypercall}", "break.i 0x1000", "br.ret.sptk.many b0;;"]


def test_each_entry_point_is_a_hypercall(dom0: Domain, tmp_path: Path) -> None:
    memory = Memory(dom0)
    code = disassembled(memory, tmp_path)
    found = services(memory)
    assert found.keys() == set(SERVICES) - {"convert_pointer"}
    for number, name in enumerate(found):
        assert code[found[name]] == calls(0x300 + number), name
    assert code[0x820] == calls(0x1100), "SAL"
    assert code[0x840] == ["mov r2=4608", "break.i 0x1000", "br.many b0;;"], "SAL's end"


def test_pal_is_called_in_both_ways(dom0: Domain, tmp_path: Path) -> None:
    """Procedures up to 255 are branched to, and branch back; the others are called."""
    code = disassembled(Memory(dom0), tmp_path)
    assert code[0x800] == ["mov r2=4096", "mov r9=256;;", "cmp.ltu p7,p8=r28,r9"]
    assert code[0x810] == [
        "break.m 0x1000",
        "(p07) br.cond.sptk.few b0",
        "(p08) br.ret.sptk.few b0;;",
    ]


# ---- ACPI ----------------------------------------------------------------------------------------


def table(memory: Memory, address: int) -> bytes:
    data = memory.read(address, memory.number(address + 4, 4))
    assert sum(data) % 256 == 0 or data[:4] == b"FACS", "FACS has no checksum"
    return data


def acpi_tables(memory: Memory) -> dict[str, bytes]:
    rsdp = memory.read(configuration(memory)[ACPI_20], 36)
    assert (rsdp[:8], rsdp[15]) == (b"RSD PTR ", 2)
    assert sum(rsdp[:20]) % 256 == sum(rsdp) % 256 == 0
    xsdt = table(memory, struct.unpack_from("<Q", rsdp, 24)[0])
    addresses = struct.unpack_from(f"<{(len(xsdt) - 36) // 8}Q", xsdt, 36)
    tables = [xsdt, *(table(memory, address) for address in addresses)]
    fadt = next(data for data in tables if data[:4] == b"FACP")
    tables += [table(memory, address) for address in struct.unpack_from("<QQ", fadt, 132)]
    return {data[:4].decode(): data for data in tables}


def sapics(madt: bytes) -> list[tuple[int, int, int, int]]:
    """(processor, id, eid, flags) of each local SAPIC."""
    found, at = [], 44
    while at < len(madt):
        kind, length = madt[at], madt[at + 1]
        assert kind == 7
        found.append(struct.unpack_from("<BBB3xI", madt, at + 2))
        at += length
    return found


@pytest.mark.parametrize("vcpus", [1, 5, 64, 128])
def test_there_is_a_processor_for_each_vcpu(dom0: Domain, vcpus: int) -> None:
    """Of 64 at most: more have no page of registers."""
    guest = dom0.machine.create_domain(abi=Abi.IA64, memory="8M", vcpus=vcpus)
    tables = acpi_tables(Memory(guest))
    assert tables.keys() == {"XSDT", "FACP", "APIC", "FACS", "DSDT"}
    assert sapics(tables["APIC"]) == [(n, n, 0, 1) for n in range(min(vcpus, 64))]


def iasl(tmp_path: Path, *arguments: str) -> str:
    if shutil.which("iasl") is None:
        pytest.skip("needs iasl (Debian package acpica-tools)")
    result = subprocess.run(
        ["iasl", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    return result.stdout + result.stderr


@pytest.mark.parametrize("signature", ["XSDT", "FACP", "APIC", "FACS", "DSDT"])
def test_the_acpi_compiler_makes_the_same_of_what_it_reads(
    dom0: Domain, tmp_path: Path, signature: str
) -> None:
    data = acpi_tables(Memory(dom0))[signature]
    (tmp_path / "table.dat").write_bytes(data)
    assert "checksum" not in iasl(tmp_path, "-d", "table.dat").lower()
    iasl(tmp_path, "table.dsl")
    again = (tmp_path / "table.aml").read_bytes()
    body = 8 if signature == "FACS" else 36  # the compiler writes its own name into a header
    assert again[body:] == data[body:]
    if signature == "DSDT":
        source = (tmp_path / "table.dsl").read_text()
        processors = re.findall(r"Processor \((\w+), (0x\w+), 0x0+, 0x0+\)", source)
        assert processors == [(f"CP0{n}", f"0x0{n}") for n in range(5)]


# ---- Whose ---------------------------------------------------------------------------------------


def test_a_domain_has_no_room_for_firmware_without_magic_pages() -> None:
    with Machine("64M") as machine:
        tiny = machine.create_domain(abi=Abi.IA64, memory=15 * PAGE)
        x86 = machine.create_domain(memory="4M")
        for domain in (tiny, x86):
            window = domain.hypervisor.map_foreign(domain.domid, [0], True)
            assert not any(bytes(window.view))
            domain.hypervisor.unmap_foreign(domain.domid, window)
