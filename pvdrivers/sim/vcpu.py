"""Python face of a domain's vcpus; what they ask for is C (machine_vcpus.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.errors import check
from pvdrivers.sim.scheduler import RunState

if TYPE_CHECKING:
    from pvdrivers.sim.domain import Domain

MAX_VCPUS = int(lib.PV_MAX_VCPUS)


@dataclass(frozen=True, slots=True)
class RunStateInfo:
    """`struct vcpu_runstate_info`: what a vcpu does since `entered`, and ns in each state."""

    state: RunState
    entered: int
    running: int
    runnable: int
    blocked: int
    offline: int

    @staticmethod
    def size(abi: Abi) -> int:
        """Bytes in the memory of a guest of this ABI."""
        return struct.calcsize(_RUNSTATE[abi])

    @staticmethod
    def unpack(area: bytes, abi: Abi) -> RunStateInfo:
        """What such a guest reads in its area."""
        state, *times = struct.unpack(_RUNSTATE[abi], area)
        return RunStateInfo(RunState(state), *times)

    @property
    def steal(self) -> int:
        """ns in which it wanted to run and did not."""
        return self.runnable + self.offline


_RUNSTATE = {Abi.X86_64: "<I4x5Q", Abi.X86_32: "<I5Q", Abi.IA64: "<I4x5Q"}


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
        self._call(
            lib.pv_vcpu_op_register_vcpu_info,
            f"vcpu_info at gfn {gfn}+{offset}",
            self.number,
            self.number,
            argument,
        )

    # ---- Runstates: MachineError ENODEV on a machine without CPUs ------------------------------

    @property
    def runstate(self) -> RunStateInfo:
        """With the times up to now. In real time a vcpu that asks is running."""
        info = ffi.new("struct vcpu_runstate_info *")
        self._call(lib.pv_vcpu_op_get_runstate_info, "runstate", self.number, info)
        return RunStateInfo(RunState(info.state), info.state_entry_time, *info.time)

    def register_runstate_area(self, address: int) -> None:
        """From now on the runstate is in the guest's memory, at this guest-physical address, with
        the times up to `entered`; 0: no more. What lies on no page of the guest is not written.

        MachineError: EFAULT beyond 2^50."""
        argument = ffi.new("struct vcpu_register_runstate_memory_area *", (address,))
        what = f"runstate area at {address:#x}"
        self._call(lib.pv_vcpu_op_register_runstate_memory_area, what, self.number, argument)

    # ---- Whether it runs ---------------------------------------------------------------------

    def initialise(self, context: bytes) -> None:
        """Its `struct vcpu_guest_context` in the ABI of the guest, which is kept.

        MachineError: EEXIST done before, EINVAL its vcpu_info is not registered yet."""
        size = lib.pv_vcpu_context_size(self.domain.info.abi)
        if len(context) != size:
            raise UsageError(f"a context of this guest's ABI has {size} bytes, not {len(context)}")
        self._call(lib.pv_vcpu_op_initialise, "initialise", self.number, context)

    @property
    def context(self) -> bytes:
        """What `initialise` was given; zeros for a vcpu that was up from the beginning.
        MachineError: ENODATA it is not initialised."""
        context = ffi.new("uint8_t[]", lib.pv_vcpu_context_size(self.domain.info.abi))
        self._call(lib.pv_vcpu_get_context, "context", self.number, context)
        return bytes(context)

    def up(self) -> None:
        """MachineError: EINVAL it is not initialised."""
        self._call(lib.pv_vcpu_op_up, "up", self.number)

    def down(self) -> None:
        """The domain powers off with its last vcpu that is up."""
        self._call(lib.pv_vcpu_op_down, "down", self.number)

    @property
    def is_up(self) -> bool:
        return bool(self._call(lib.pv_vcpu_op_is_up, "is_up", self.number))

    # ---- Timers: they raise VIRQ_TIMER --------------------------------------------------------

    def set_periodic_timer(self, period: int) -> None:
        """Each `period` ns while the vcpu is not blocked. MachineError: EINVAL under 1 ms."""
        argument = ffi.new("struct vcpu_set_periodic_timer *", (period,))
        self._call(lib.pv_vcpu_op_set_periodic_timer, f"each {period} ns", self.number, argument)

    def stop_periodic_timer(self) -> None:
        self._call(lib.pv_vcpu_op_stop_periodic_timer, "stop", self.number)

    def set_singleshot_timer(self, at: int, *, future: bool = False) -> None:
        """When the machine's time is `at` (ns); at once when it is later already, or with `future`
        MachineError(ETIME)."""
        flags = int(lib.VCPU_SSHOTTMR_future) if future else 0
        argument = ffi.new("struct vcpu_set_singleshot_timer *", (at, flags, 0))
        call = lib.pv_vcpu_op_set_singleshot_timer
        self._call(call, f"timer at {at}", self.number, self.number, argument)

    def stop_singleshot_timer(self) -> None:
        self._call(lib.pv_vcpu_op_stop_singleshot_timer, "stop", self.number, self.number)

    # ---- sched_op ------------------------------------------------------------------------------

    def yield_(self) -> None:
        """Lets those that are as urgent go first."""
        self._call(lib.pv_sched_op_yield, "yield", self.number)

    def block(self) -> None:
        """Waits for an event, with upcalls unmasked. In virtual time it returns at once, and the
        vcpu `is_blocked`; in real time this thread waits."""
        self._call(lib.pv_sched_op_block, "block", self.number)

    def poll(self, ports: Sequence[int], timeout: int = 0) -> None:
        """Waits likewise until one of the ports is pending, or the machine's time is `timeout` (ns;
        0: for ever). MachineError: EINVAL no such port, or more than 128."""
        array = ffi.new("evtchn_port_t[]", list(ports))
        self._call(lib.pv_sched_op_poll, f"poll {ports}", self.number, array, len(ports), timeout)

    @property
    def is_blocked(self) -> bool:
        return bool(self._call(lib.pv_vcpu_is_blocked, "is_blocked", self.number))

    def _call(self, call: Any, what: str, *arguments: Any) -> int:
        domid = self.domain.domid
        result = call(self.domain.machine.cdata, domid, *arguments)
        return check(result, f"domain {domid} vcpu {self.number}: {what}")

    def __repr__(self) -> str:
        return f"<Vcpu {self.number} of domain {self.domain.domid}>"
