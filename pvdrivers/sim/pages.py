"""Single pages of a machine's memory: what is known of one, and taking it out of use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any

from pvdrivers._core import ffi, lib
from pvdrivers.sim.errors import check

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Machine


class PageUse(IntEnum):
    """Xen's PGC_state_*. A page that is `OFFLINING` is in use, and offlined when it is freed."""

    INUSE = 0
    OFFLINING = 1
    OFFLINED = 2
    FREE = 3


class PageType(IntEnum):
    """Xen's PGT_*, of which there is one: somebody may write to the page by a mapping or a
    hypercall."""

    NONE = 0
    WRITABLE = 7


class OfflineStatus(IntFlag):
    """sysctl.h's PG_OFFLINE_*."""

    OFFLINED = 1 << 1
    PENDING = 1 << 2
    FAILED = 1 << 3
    AGAIN = 1 << 4
    XENPAGE = 1 << 8
    OWNED = 1 << 12
    BROKEN = 1 << 13


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What Xen's page_info says of a machine frame.

    `owner`: a domid, or None. `allocated`: the owner has it; otherwise it has given it back, and
    others use it. `xen_heap`: it is Xen's own, shared with the owner. `count`: references, one of
    the owner, of its event channels, and of each grant in use. `type_count`: mappings and copies
    that write, and event channels. `gfn`: by which its owner names it, in its page size, or None.
    """

    use: PageUse
    owner: int | None
    allocated: bool
    xen_heap: bool
    broken: bool
    count: int
    type: PageType
    type_count: int
    gfn: int | None


@dataclass(frozen=True, slots=True)
class Offlined:
    """How it went with a page, and with `OWNED` of whose it is."""

    status: OfflineStatus
    owner: int | None


class Pages:
    """The pages of `machine`, by machine frame (4 KiB).

    A page of an ia64 domain is four frames, which share all that is said of one. MachineError: a
    frame in a hole (EINVAL, or EFAULT of `info`).
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def info(self, mfn: int) -> PageInfo:
        info = ffi.new("struct pv_page_info *")
        check(lib.pv_page_info(self._machine.cdata, mfn, info), f"frame {mfn:#x}")
        return PageInfo(
            PageUse(info.use),
            None if info.owner == lib.DOMID_INVALID else int(info.owner),
            bool(info.allocated),
            bool(info.xen_heap),
            bool(info.broken),
            info.count,
            PageType(info.type),
            info.type_count,
            _valid(info.gfn),
        )

    def gfn_of(self, mfn: int) -> int | None:
        """Xen's M2P: by which gfn its owner names a frame; None of what is free, Xen's, or a
        hole."""
        return _valid(lib.pv_page_gfn(self._machine.cdata, mfn))

    def offline(self, mfn: int, *, broken: bool = False) -> Offlined:
        """Takes a page out of use: at once when it is free, else when it is freed (`PENDING`).

        A `broken` one is never used again. Whoever has a page that was broken before crashes
        (`AGAIN`). MachineError: EPERM, Xen's own.
        """
        return self._change(mfn, lib.pv_page_offline, broken)

    def online(self, mfn: int) -> bool:
        """Brings a page back that was offlined, or was to be: whether it was so.

        MachineError: EINVAL, it is broken."""
        return bool(self._change(mfn, lib.pv_page_online).status)

    def _change(self, mfn: int, call: Any, *arguments: object) -> Offlined:
        status = ffi.new("uint32_t *")
        check(call(self._machine.cdata, mfn, *arguments, status), f"frame {mfn:#x}")
        flags = OfflineStatus(status[0] & 0xFFFF)
        owned = OfflineStatus.OWNED in flags
        return Offlined(flags, status[0] >> lib.PG_OFFLINE_OWNER_SHIFT if owned else None)


def _valid(gfn: int) -> int | None:
    return None if gfn == (1 << 64) - 1 else int(gfn)
