"""Python face of a domain of a simulated machine; the domain itself is C (machine.h)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING
from uuid import UUID

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.errors import MachineError, check
from pvdrivers.sim.reservation import Reservation
from pvdrivers.sim.vcpu import MAX_VCPUS, Vcpu

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Machine

ACCOUNTS = (
    "evtchn_send",
    "evtchn_other",
    "upcall",
    "gnttab_map_call",
    "gnttab_unmap_call",
    "gnttab_copy_call",
    "gnttab_other",
    "grants_mapped",
    "grants_unmapped",
    "grants_copied",
    "bytes_copied",
    "grant_failures",
    "memory_op",
    "domctl",
    "vcpu_op",
    "sched_op",
)


class DomainState(IntEnum):
    ABSENT = 0
    PAUSED = 1
    RUNNING = 2
    SHUTDOWN = 3
    CRASHED = 4
    DYING = 5


class ShutdownReason(IntEnum):
    """sched.h's SHUTDOWN_* codes."""

    POWEROFF = 0
    REBOOT = 1
    SUSPEND = 2
    CRASH = 3
    WATCHDOG = 4
    SOFT_RESET = 5


@dataclass(frozen=True, slots=True)
class DomainInfo:
    domid: int
    state: DomainState
    abi: Abi
    page_size: int
    vcpus: int
    shutdown_reason: ShutdownReason
    pages: int
    max_pages: int
    outstanding_pages: int  # of its claim
    physmap_pages: int
    generation: int
    privileged: bool
    pause_count: int
    uuid: UUID

    @property
    def has_ended(self) -> bool:
        """It has shut down or crashed, and is there until it is destroyed."""
        return self.state in (DomainState.SHUTDOWN, DomainState.CRASHED)


class Domain:
    """A domain of a machine. `hypervisor` is this process's view as that domain."""

    def __init__(self, machine: Machine, domid: int) -> None:
        self.machine = machine
        self.domid = domid
        self._hypervisor: Hypervisor | None = None

    @property
    def hypervisor(self) -> Hypervisor:
        if self._hypervisor is None:
            self._hypervisor = self.machine.open_hypervisor(self.domid)
        return self._hypervisor

    @property
    def info(self) -> DomainInfo:
        info = ffi.new("struct pv_domain_info *")
        check(lib.pv_domain_info(self.machine.cdata, self.domid, info), f"domain {self.domid}")
        return DomainInfo(
            self.domid,
            DomainState(info.state),
            Abi(info.abi),
            info.page_size,
            info.vcpus,
            ShutdownReason(info.shutdown_reason),
            info.pages,
            info.max_pages,
            info.outstanding_pages,
            info.physmap_pages,
            info.generation,
            bool(info.privileged),
            info.pause_count,
            UUID(bytes=bytes(info.handle)),
        )

    @property
    def accounts(self) -> dict[str, int]:
        """What Xen would have charged this domain for, by name."""
        counters = ffi.new("uint64_t[]", len(ACCOUNTS))
        check(lib.pv_domain_accounts(self.machine.cdata, self.domid, counters), "accounts")
        return dict(zip(ACCOUNTS, counters, strict=True))

    @property
    def reservation(self) -> Reservation:
        """What memory it has, as it changes that itself."""
        return Reservation(self.machine, self.domid)

    def gfn_to_mfn(self, gfn: int) -> int:
        """The machine frame (4 KiB) behind a guest frame; MachineError(EFAULT) in a hole."""
        return check(lib.pv_domain_gfn_to_mfn(self.machine.cdata, self.domid, gfn), f"gfn {gfn}")

    def vcpu(self, number: int) -> Vcpu:
        """Its vcpu of this number; what one asks of it fails when there is none."""
        if not 0 <= number < MAX_VCPUS:
            raise UsageError(f"vcpu {number} is none of 0 to {MAX_VCPUS - 1}")
        return Vcpu(self, number)

    @property
    def uuid(self) -> UUID:
        """By which a toolstack knows it; Xen's domain handle."""
        return self.info.uuid

    @uuid.setter
    def uuid(self, value: UUID) -> None:
        call = lib.pv_domain_set_handle
        check(call(self.machine.cdata, self.domid, value.bytes), "set_handle")

    def pause(self) -> None:
        """Counted: what was paused twice runs when it was unpaused twice.

        On a machine with CPUs in virtual time nothing of it runs meanwhile. In real time this is a
        state that is shown: a guest is processes, and goes on. MachineError: EOVERFLOW it was
        paused 255 times."""
        check(lib.pv_domain_pause(self.machine.cdata, self.domid), "pause")

    def unpause(self) -> None:
        """MachineError: EINVAL it is not paused."""
        check(lib.pv_domain_unpause(self.machine.cdata, self.domid), "unpause")

    def resume(self) -> None:
        """A domain that has shut down or crashed goes on; for others it is nothing."""
        check(lib.pv_domain_resume(self.machine.cdata, self.domid), "resume")

    def shutdown(self, reason: ShutdownReason = ShutdownReason.POWEROFF) -> None:
        check(lib.pv_domain_shutdown(self.machine.cdata, self.domid, reason), "shutdown")

    def set_shutdown_code(self, reason: ShutdownReason) -> None:
        """The reason that counts when it shuts down; the first one stays."""
        call = lib.pv_sched_op_shutdown_code
        check(call(self.machine.cdata, self.domid, reason), "shutdown_code")

    def watchdog(self, timeout: int, number: int = 0) -> int:
        """Shuts down with `WATCHDOG` after `timeout` s: a new watchdog's number, 1 or 2. With a
        number, sets that one anew, or removes it when `timeout` is 0.

        MachineError: ENOSPC there are two, EINVAL there is none of this number."""
        call = lib.pv_sched_op_watchdog
        result = call(self.machine.cdata, self.domid, number, timeout)
        return check(result, f"watchdog {number} of {timeout} s")

    def crash(self) -> None:
        self.shutdown(ShutdownReason.CRASH)

    def destroy(self) -> None:
        """Takes everything from the domain; it stays DYING while a peer still maps its pages."""
        if self._hypervisor is not None:
            self._hypervisor.close()
            self._hypervisor = None
        check(lib.pv_domain_destroy(self.machine.cdata, self.domid), "destroy")

    def __repr__(self) -> str:
        try:
            info = self.info
        except MachineError:
            return f"<Domain {self.domid} absent>"
        except UsageError:
            return f"<Domain {self.domid} of a closed machine>"
        return (
            f"<Domain {self.domid} {info.abi.name.lower()} {info.state.name.lower()},"
            f" {info.pages} pages of {info.page_size} bytes>"
        )
