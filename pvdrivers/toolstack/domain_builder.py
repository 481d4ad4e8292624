"""What the domain builder prepares in a new domain.

It writes start_info into one of the guest's first pages, with the frame of the xenstore ring and
its event channel port, as Xen's builder does for a PV guest. The guest reads it there; the xenstore
server gets the same two numbers when the domain is introduced. Both ends of that ring are in
xenstore_rings.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import Hypervisor, check
from pvdrivers.ring.abi import Abi, layout
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.domain import Domain
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.operations import (
    asks_mkdir,
    asks_set_permissions,
    asks_write,
    raise_first,
)

START_INFO_GFN = dict.fromkeys(Abi, 0) | {Abi.IA64: lib.PV_IA64_START_INFO_PFN}
XENSTORE_GFN = dict.fromkeys(Abi, 1) | {Abi.IA64: lib.PV_IA64_XENSTORE_PFN}
"""By ABI: the first pages of an ia64 guest are firmware's."""
MAGIC = b"xen-3.0-%s"
MAX_COMMAND_LINE = 1023  # bytes: MAX_GUEST_CMDLINE without the NUL at its end


@dataclass(frozen=True, slots=True)
class StartInfo:
    """The part of start_info (xen.h) that the builder fills."""

    nr_pages: int
    store_gfn: int
    store_port: int
    command_line: str = ""

    def write(self, page: memoryview, abi: Abi) -> None:
        fields = layout("start_info", abi).fields
        values = {
            "nr_pages": self.nr_pages,
            "store_mfn": self.store_gfn,
            "store_evtchn": self.store_port,
        }
        for name, value in values.items():
            offset, size = fields[name]
            page[offset : offset + size] = value.to_bytes(size, "little")
        offset, size = fields["cmd_line"]
        page[offset : offset + size] = self.command_line.encode().ljust(size, b"\0")
        magic = MAGIC % abi.protocol.removesuffix("-abi").encode()
        page[: len(magic) + 1] = magic + b"\0"

    @classmethod
    def read(cls, page: memoryview, abi: Abi) -> StartInfo:
        fields = layout("start_info", abi).fields

        def number(name: str) -> int:
            offset, size = fields[name]
            return int.from_bytes(page[offset : offset + size], "little")

        offset, size = fields["cmd_line"]
        command_line = bytes(page[offset : offset + size]).partition(b"\0")[0]
        return cls(
            number("nr_pages"),
            number("store_mfn"),
            number("store_evtchn"),
            command_line.decode(errors="replace"),
        )


def build(domain: Domain, store_domid: int = 0, command_line: str = "") -> StartInfo:
    """Prepares a new domain's start_info and its xenstore ring; `introduce` it afterwards.

    UsageError: the command line is longer than start_info has room for.
    """
    if len(command_line.encode()) > MAX_COMMAND_LINE:
        raise UsageError(f"a kernel's command line has {MAX_COMMAND_LINE} bytes at most")
    port = ffi.new("evtchn_port_t *")
    machine = domain.machine.cdata
    check(
        lib.pv_evtchn_op_alloc_unbound(machine, domain.domid, domain.domid, store_domid, port),
        f"the xenstore port of domain {domain.domid}",
    )
    hypervisor = domain.hypervisor
    info = StartInfo(domain.info.pages, XENSTORE_GFN[hypervisor.abi], port[0], command_line)
    page = hypervisor.map_foreign(domain.domid, [START_INFO_GFN[hypervisor.abi]])
    info.write(page.view, hypervisor.abi)
    if hypervisor.abi is Abi.IA64:
        memmap_info = hypervisor.map_foreign(domain.domid, [lib.PV_IA64_MEMMAP_INFO_PFN])
        _write_boot_param(page.view, memmap_info.view)
        hypervisor.unmap_foreign(domain.domid, memmap_info)
    hypervisor.unmap_foreign(domain.domid, page)
    return info


def read_start_info(domain: Domain, hypervisor: Hypervisor) -> StartInfo:
    """What a domain's start_info says. `hypervisor`: its own view, or one of dom0. OSError: there
    is no page."""
    abi = domain.info.abi
    page = hypervisor.map_foreign(
        domain.domid, [START_INFO_GFN[abi]], readonly=True, page_size=abi.page_size
    )
    try:
        return StartInfo.read(page.view, abi)
    finally:
        hypervisor.unmap_foreign(domain.domid, page)


def _write_boot_param(page: memoryview, memmap_info: memoryview) -> None:
    """What an ia64 kernel expects behind start_info: where its command line, its firmware and its
    memory map are, and a console's size and cursor."""
    start_info = layout("start_info", Abi.IA64)
    param = ffi.new("struct xen_ia64_boot_param *")
    param.command_line = START_INFO_GFN[Abi.IA64] * Abi.IA64.page_size
    param.command_line += start_info.fields["cmd_line"][0]
    param.efi_systab = lib.PV_IA64_EFI_SYSTEM_TABLE
    param.efi_memmap = lib.PV_IA64_MEMMAP_INFO_PFN * Abi.IA64.page_size
    param.efi_memmap += layout("xen_ia64_memmap_info", Abi.IA64).size
    param.efi_memdesc_size = layout("efi_memory_desc", Abi.IA64).size
    param.efi_memmap_size = int.from_bytes(memmap_info[:8], "little")
    param.efi_memdesc_version = lib.EFI_MEMORY_DESCRIPTOR_VERSION
    param.console_info.num_cols, param.console_info.num_rows = 80, 25
    param.console_info.orig_y = 24
    data = bytes(ffi.buffer(param))
    page[start_info.size : start_info.size + len(data)] = data


async def register(client: XenstoreClient, domain: Domain, name: str) -> None:
    """Writes where toolstacks look a domain up: its name, its directory below /vm, by its UUID,
    with the time at which it began, and which of its vcpus are to be online. A guest's home
    directory is there already."""
    home, vm = f"/local/domain/{domain.domid}", f"/vm/{domain.uuid}"
    values = {
        f"{vm}/uuid": str(domain.uuid),
        f"{vm}/name": name,
        f"{vm}/start_time": f"{time.time():.2f}",
        f"{home}/vm": vm,
        f"{home}/name": name,
        f"{home}/domid": str(domain.domid),
    }
    for vcpu in range(domain.info.vcpus):
        online = domain.vcpu(vcpu).is_up
        values[f"{home}/cpu/{vcpu}/availability"] = "online" if online else "offline"
    asked = [asks_mkdir(vm), asks_set_permissions(vm, ["n0", f"r{domain.domid}"])]
    asked += [asks_write(path, value) for path, value in values.items()]
    raise_first(await client.request_all(asked))


async def introduce(client: XenstoreClient, domain: Domain, info: StartInfo) -> None:
    """Introduces the domain to xenstore, as xl does once it has built one."""
    await client.introduce(domain.domid, info.store_gfn, info.store_port)
