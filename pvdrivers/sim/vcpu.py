"""Python face of a domain's vcpus; what they ask for is C (machine_vcpus.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvdrivers._core import ffi, lib
from pvdrivers.sim.errors import check

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Domain

MAX_VCPUS = int(lib.PV_MAX_VCPUS)


class Vcpu:
    """A vcpu, which makes its hypercalls itself. MachineError: ESRCH the domain has gone, ENOENT it
    has no such vcpu."""

    def __init__(self, domain: Domain, number: int) -> None:
        self.domain = domain
        self.number = number

    def register_info(self, gfn: int, offset: int = 0) -> None:
        """Its vcpu_info is from now on at this byte offset of a guest page, once and for all.

        MachineError: ENXIO it leaves its page or is not aligned, EINVAL no such page, or done
        before."""
        argument = ffi.new("struct vcpu_register_vcpu_info *", {"mfn": gfn, "offset": offset})
        machine, domid = self.domain.machine.cdata, self.domain.domid
        result = lib.pv_vcpu_op_register_vcpu_info(
            machine, domid, self.number, self.number, argument
        )
        check(result, f"domain {domid} vcpu {self.number}: vcpu_info at gfn {gfn}+{offset}")

    def __repr__(self) -> str:
        return f"<Vcpu {self.number} of domain {self.domain.domid}>"
