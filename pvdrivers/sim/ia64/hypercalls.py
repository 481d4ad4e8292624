"""The hypercalls that only ia64 guests have, and buffers for them in guests' memory."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.domain import Domain
from pvdrivers.sim.errors import check
from pvdrivers.sim.ia64.efi import MAX_DESCRIPTORS, EfiDescriptor, EfiMap, decode_map, encode_map

PAGE_SIZE = 1 << 14
NO_PAGE = -1
"""What the translations answer when there is no such page."""
ENTRIES_PER_PAGE = PAGE_SIZE // 8
"""Of a P2M table that is shown to a guest."""


class Pte(IntFlag):
    """What an entry of a P2M table says beside the page's address."""

    PRESENT = lib._PAGE_P
    UNCACHED = lib._PAGE_MA_UC
    ACCESSED = lib._PAGE_A
    DIRTY = lib._PAGE_D
    PRIVILEGE_1 = lib._PAGE_PL_1
    RWX = lib._PAGE_AR_RWX
    EXCEPTION_DEFERRAL = lib._PAGE_ED
    PGC_ALLOCATED = lib._PAGE_PGC_ALLOCATED


def decode_pte(entry: int) -> tuple[int, Pte]:
    """The machine's page and what is said of it; (NO_PAGE, 0) where there is none."""
    if not entry:
        return NO_PAGE, Pte(0)
    address = entry & int(lib._PAGE_PPN_MASK)
    return address // PAGE_SIZE, Pte(entry & ~int(lib._PAGE_PPN_MASK))


class Dom0vp(IntEnum):
    """Operations on the physmap, by Xen's numbers; ia64.h says what each does."""

    IOREMAP = lib.IA64_DOM0VP_ioremap
    PHYSTOMACH = lib.IA64_DOM0VP_phystomach
    MACHTOPHYS = lib.IA64_DOM0VP_machtophys
    IOUNMAP = lib.IA64_DOM0VP_iounmap
    ZAP_PHYSMAP = lib.IA64_DOM0VP_zap_physmap
    ADD_PHYSMAP = lib.IA64_DOM0VP_add_physmap
    EXPOSE_P2M = lib.IA64_DOM0VP_expose_p2m
    PERFMON = lib.IA64_DOM0VP_perfmon
    ADD_PHYSMAP_WITH_GMFN = lib.IA64_DOM0VP_add_physmap_with_gmfn
    FPSWA_REVISION = lib.IA64_DOM0VP_fpswa_revision
    ADD_IO_SPACE = lib.IA64_DOM0VP_add_io_space
    EXPOSE_FOREIGN_P2M = lib.IA64_DOM0VP_expose_foreign_p2m
    UNEXPOSE_FOREIGN_P2M = lib.IA64_DOM0VP_unexpose_foreign_p2m
    GET_MEMMAP = lib.IA64_DOM0VP_get_memmap


def dom0vp_op(domain: Domain, op: Dom0vp, *args: int) -> int:
    """The domain makes the hypercall, with up to four arguments.

    NO_PAGE from a translation that finds none. MachineError: what it refuses.
    """
    if len(args) > 4:
        raise UsageError(f"{len(args)} arguments: the hypercall has four at most")
    values = ffi.new("uint64_t[4]", [arg & (1 << 64) - 1 for arg in args])
    result = int(lib.pv_ia64_dom0vp_op(domain.machine.cdata, domain.domid, op, values))
    if op in (Dom0vp.PHYSTOMACH, Dom0vp.MACHTOPHYS) and result == NO_PAGE:
        return NO_PAGE
    return check(result, f"{op.name.lower()} by domain {domain.domid}")


class GuestBuffer:
    """Pages of an ia64 domain, as `handle` (an address) and `descriptor` name them to Xen."""

    def __init__(self, domain: Domain, size: int) -> None:
        self._hypervisor = domain.hypervisor
        count = -(-size // PAGE_SIZE)
        if count > PAGE_SIZE // 8 - 1:
            raise UsageError(f"{size} bytes: the addresses of a buffer's pages fill one page")
        self._pages = self._hypervisor.allocate_pages(count + 1)
        first = check(
            lib.pv_domain_page_to_gfn(self._hypervisor.cdata, self._pages.address), "a buffer"
        )
        self.addresses = [(first + number) * PAGE_SIZE for number in range(count)]
        self.view = self._pages.view[: count * PAGE_SIZE]
        self._list = self._pages.view[count * PAGE_SIZE :]
        self._list_address = (first + count) * PAGE_SIZE

    @property
    def handle(self) -> int:
        """Inline: the address of memory that is in one piece for the guest."""
        return int(lib.XENCOMM_INLINE_FLAG) | self.addresses[0]

    def descriptor(self, addresses: list[int] | None = None) -> int:
        """Writes a xencomm descriptor of the pages, or of other addresses; returns its own."""
        addresses = self.addresses if addresses is None else addresses
        head = ffi.new("struct xencomm_desc *", {"magic": lib.XENCOMM_MAGIC})
        head.nr_addrs = len(addresses)
        listed = b"".join(address.to_bytes(8, "little") for address in addresses)
        data = bytes(ffi.buffer(head)) + listed
        self._list[: len(data)] = data
        return self._list_address

    def close(self) -> None:
        self._hypervisor.free_pages(self._pages)


def get_memmap(caller: Domain, domid: int) -> list[EfiDescriptor]:
    """A domain's memory map, as the hypercall copies it."""
    buffer = GuestBuffer(caller, PAGE_SIZE)
    try:
        dom0vp_op(caller, Dom0vp.GET_MEMMAP, domid, buffer.handle)
        return decode_map(bytes(buffer.view))
    finally:
        buffer.close()


def expose_p2m(domain: Domain, place: int, pages: int, gfn: int = 0) -> None:
    """The domain sees its own P2M table, read-only, at guest frame `place`: the entries of `pages`
    pages from `gfn` on. All are multiples of ENTRIES_PER_PAGE.

    MachineError: EINVAL, also when it has no such pages or memory is at the place; EAGAIN,
    something else is.
    """
    dom0vp_op(domain, Dom0vp.EXPOSE_P2M, gfn, place, pages * PAGE_SIZE, ENTRIES_PER_PAGE)


def expose_foreign_p2m(
    caller: Domain, place: int, domid: int, efi_map: EfiMap
) -> Sequence[EfiDescriptor]:
    """A privileged domain sees the table of another for the lines of a map: the entry of guest
    page n in the page `place` + n // ENTRIES_PER_PAGE. The map as Xen hands it back, in whole pages
    of entries.

    MachineError: EPERM; EINVAL, also when the map has what is not memory; EBUSY, something is at
    the place.
    """
    data = encode_map(efi_map)
    buffer = GuestBuffer(caller, len(data))
    try:
        buffer.view[: len(data)] = data
        dom0vp_op(caller, Dom0vp.EXPOSE_FOREIGN_P2M, place, domid, buffer.handle, 0)
        return decode_map(bytes(buffer.view))
    finally:
        buffer.close()


def unexpose_foreign_p2m(caller: Domain, place: int, domid: int) -> None:
    """Takes it away. MachineError: ENOENT, none was exposed there; EINVAL, another domain's was."""
    dom0vp_op(caller, Dom0vp.UNEXPOSE_FOREIGN_P2M, place, domid)


def vcpu_context(domain: Domain, vcpu: int) -> Any:
    """A vcpu's `struct vcpu_guest_context_ia64 *`: what it began with, control and region registers
    as its page has them now. MachineError: ENODATA, it has not begun; EINVAL, ENOENT."""
    context = ffi.new("struct vcpu_guest_context_ia64 *")
    machine = domain.machine.cdata
    result = lib.pv_ia64_vcpu_get_context(machine, domain.domid, vcpu, context)
    check(result, f"the context of vcpu {vcpu}")
    return context


def set_vcpu_context(domain: Domain, vcpu: int, context: Any) -> None:
    """Sets one; with VGCF_online_ia64 in its flags the vcpu is up then. MachineError: EINVAL, its
    stacked registers are more than it holds, or of another processor; ENOENT."""
    machine = domain.machine.cdata
    result = lib.pv_ia64_vcpu_set_context(machine, domain.domid, vcpu, context)
    check(result, f"the context of vcpu {vcpu}")


def set_debug_flags(caller: Domain, domid: int, flags: int) -> None:
    """At what events Xen would stop a domain for a debugger (XEN_IA64_DEBUG_ON_*), by a privileged
    domain. They are kept, and do nothing."""
    _debug_op(caller, lib.XEN_IA64_DEBUG_OP_SET_FLAGS, domid, flags)


def debug_flags(caller: Domain, domid: int) -> int:
    """What was set. MachineError: EPERM, ESRCH."""
    return _debug_op(caller, lib.XEN_IA64_DEBUG_OP_GET_FLAGS, domid, 0)


def _debug_op(caller: Domain, cmd: int, domid: int, flags: int) -> int:
    buffer = GuestBuffer(caller, 16)
    try:
        buffer.view[:8] = flags.to_bytes(8, "little")
        machine = caller.machine.cdata
        result = lib.pv_ia64_debug_op(machine, caller.domid, cmd, domid, buffer.handle)
        check(result, f"debug flags of domain {domid}")
        return int.from_bytes(buffer.view[:8], "little")
    finally:
        buffer.close()


def machine_memory_map(
    caller: Domain, room: int = 24 + 40 * MAX_DESCRIPTORS
) -> list[EfiDescriptor]:
    """The machine's map, by XENMEM_machine_memory_map into a buffer of `room` bytes."""
    argument, buffer = GuestBuffer(caller, PAGE_SIZE), GuestBuffer(caller, room)
    try:
        asked = ffi.new("struct xen_memory_map_ia64 *", {"nr_entries": room})
        asked.buffer = buffer.descriptor()
        argument.view[:16] = bytes(ffi.buffer(asked))
        check(
            lib.pv_ia64_machine_memory_map(caller.machine.cdata, caller.domid, argument.handle),
            "the machine's memory map",
        )
        size = int.from_bytes(argument.view[:4], "little")
        return decode_map(bytes(buffer.view[:size]))
    finally:
        argument.close()
        buffer.close()
