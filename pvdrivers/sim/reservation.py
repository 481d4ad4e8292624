"""A domain's memory reservation: Xen's memory hypercall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.errors import check

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Machine


def memory_flags(address_bits: int, node: int | None, exact_node: bool) -> int:
    """Xen's XENMEMF word: which memory new pages may be."""
    flags = address_bits | (0 if node is None else node + 1 << 8)
    return flags | (lib.XENMEMF_exact_node_request if exact_node else 0)


class Reservation:
    """That of domain `domid`, as the domain `caller` (default: itself) sees and changes it.

    Frame numbers of a domain (gfns) and counts are in its page size, an extent is 2**order pages.
    MachineError: EPERM, only a privileged domain may name another; ESRCH, there is no such domain.
    """

    def __init__(self, machine: Machine, domid: int, caller: int | None = None) -> None:
        self._machine = machine
        self._domid = domid
        self._caller = domid if caller is None else caller

    def _arguments(self) -> tuple[object, int, int]:
        return self._machine.cdata, self._caller, self._domid

    @property
    def current(self) -> int:
        """Pages that it has."""
        return check(lib.pv_memory_current_reservation(*self._arguments()), "reservation")

    @property
    def maximum(self) -> int:
        """Pages that it may have."""
        return check(lib.pv_memory_maximum_reservation(*self._arguments()), "reservation")

    @property
    def highest_gfn(self) -> int:
        """Of a page that it has."""
        return check(lib.pv_memory_maximum_gpfn(*self._arguments()), "highest gfn")

    def populate(
        self,
        gfns: Sequence[int],
        order: int = 0,
        *,
        address_bits: int = 0,
        node: int | None = None,
        exact_node: bool = False,
    ) -> list[int]:
        """Gives it extents of new pages; the machine frames (4 KiB) of those done, which are fewer
        than `gfns` when one could not be. All lie below 2**address_bits (0: anywhere), and are of
        `node` if it has any, or with `exact_node` of no other."""
        flags = memory_flags(address_bits, node, exact_node)
        mfns = ffi.new("uint64_t[]", len(gfns))
        # Kept here: the structure holds bare pointers.
        array = ffi.new("uint64_t[]", list(gfns))
        extents = ffi.new("struct pv_memory_extents *", (array, mfns, len(gfns), order, flags))
        done = lib.pv_memory_populate_physmap(*self._arguments(), extents)
        return list(mfns[0 : check(done, "populate")])

    def increase(
        self,
        count: int,
        order: int = 0,
        *,
        address_bits: int = 0,
        node: int | None = None,
        exact_node: bool = False,
    ) -> list[int]:
        """Gives it `count` extents of new pages that no gfn is of, until it ends; their machine
        frames, as `populate` has them."""
        flags = memory_flags(address_bits, node, exact_node)
        mfns = ffi.new("uint64_t[]", count)
        extents = ffi.new("struct pv_memory_extents *", (ffi.NULL, mfns, count, order, flags))
        done = lib.pv_memory_increase_reservation(*self._arguments(), extents)
        return list(mfns[0 : check(done, "increase")])

    def exchange(
        self,
        gfns: Sequence[int],
        order: int,
        to: Sequence[int],
        to_order: int,
        *,
        address_bits: int = 0,
        node: int | None = None,
        exact_node: bool = False,
    ) -> list[int]:
        """Gives extents of 2**order pages for as many new pages, in extents of 2**to_order at the
        gfns `to`; the machine frames of those done.

        They are done in steps of as many pages as the larger extent has, each as a whole. When one
        cannot be, it and those behind it are as they were, and fewer frames are returned.
        MachineError, when that is the first: EINVAL, a page that goes is not there or in use, or
        there is one where a new one is to be; ENOMEM, there is no such memory; EPERM, an order is
        too large.
        UsageError: the two are not as many pages."""
        if len(gfns) << order != len(to) << to_order:
            raise UsageError(
                f"{len(gfns)} extents of {1 << order} pages are not exchanged for"
                f" {len(to)} of {1 << to_order}: both must be as many pages"
            )
        flags = memory_flags(address_bits, node, exact_node)
        ins, outs = 1 << max(to_order - order, 0), 1 << max(order - to_order, 0)
        frames: list[int] = []
        for step in range(len(gfns) // ins):
            given = ffi.new("uint64_t[]", list(gfns[step * ins : (step + 1) * ins]))
            taken = ffi.new("uint64_t[]", list(to[step * outs : (step + 1) * outs]))
            mfns = ffi.new("uint64_t[]", outs)
            whole = ffi.new(
                "struct pv_memory_exchange *", (given, taken, mfns, order, to_order, flags)
            )
            result = lib.pv_memory_exchange(*self._arguments(), whole)
            if result and frames:
                break
            check(result, "exchange")
            frames.extend(mfns)
        return frames

    def decrease(self, gfns: Sequence[int], order: int = 0) -> int:
        """Takes extents from it; how many were there as a whole, up to the first that was not."""
        array = ffi.new("uint64_t[]", list(gfns))
        extents = ffi.new("struct pv_memory_extents *", (array, ffi.NULL, len(gfns), order, 0))
        return check(lib.pv_memory_decrease_reservation(*self._arguments(), extents), "decrease")

    def claim(self, pages: int) -> None:
        """Keeps free memory for it, so that it can have `pages` in all; 0 drops the claim.

        MachineError: EPERM, the caller is not privileged; EINVAL, there is no such domain, it has a
        claim or these pages already, or may not have them; ENOMEM, there is not so much free."""
        check(lib.pv_memory_claim_pages(*self._arguments(), pages), "claim")

    def set_maximum(self, size: int) -> None:
        """What it may have, bytes. MachineError: EINVAL, more than it was made for."""
        check(lib.pv_domain_set_max_memory(*self._arguments(), size), "maximum")
