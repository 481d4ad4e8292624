"""Python face of the simulated machine; the machine itself is C (machine.h)."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4, uuid5

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import console
from pvdrivers.sim.cpupool import MAX_CPUS, Credit2Runqueue, SchedulerKind
from pvdrivers.sim.domain import Domain
from pvdrivers.sim.errors import MachineError, check
from pvdrivers.sim.memory_map import MemoryExtent, memory_extents, parse_size
from pvdrivers.sim.pages import Pages
from pvdrivers.sim.scheduler import FOR_EVER, Scheduler
from pvdrivers.sim.trace import TraceEvent, TraceRecord
from pvdrivers.sim.vcpu import MAX_VCPUS
from pvdrivers.sim.xentrace import XenTrace

DEFAULT_MAX_DOMAIN = 16 << 30  # at least, for machines with less memory
# Of the UUIDs of domains in virtual time, by which a run is the same each time.
_UUIDS = UUID("9d2f6a1e-5c0b-4b7e-8a43-6f0c2d1b7e95")
MOST_MAX_DOMAIN = 1 << 40  # by default: what a domain could own costs address space


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """Bytes of a NUMA node."""

    total: int
    free: int
    free_below_4g: int
    offlined: int


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Bytes of the table that has an entry for each machine frame."""

    resident: int  # of the host's memory, now
    existing: int  # with entries for all memory, but none for holes
    dense: int  # with entries for all addresses up to the last of memory


class Machine:
    """A simulated machine, created here or (`Machine.attach`) by another process."""

    def __init__(
        self,
        memory: int | str | Sequence[MemoryExtent] = "256M",
        *,
        max_domains: int = 1024,
        max_domain_memory: int | str | None = None,
        virtual_time: bool = False,
        cpus: int = 0,
        threads_per_core: int = 1,
        cores_per_socket: int = 0,
        scheduler: SchedulerKind = SchedulerKind.CREDIT,
        credit2_runqueue: Credit2Runqueue = Credit2Runqueue.SOCKET,
        smt_power_savings: bool = False,
    ) -> None:
        """`memory`: a size, the name of a map (memory_map.MEMORY_MAPS), or extents.
        `max_domain_memory`: what one domain may own at most; None: all that the machine has, but
        16 GiB at least and 1 TiB at most. UsageError for a text that is no memory, MachineError for
        what cannot be.

        `cpus`: on which vcpus are scheduled, in virtual time; in real time there are settings
        and accounts alone. 0: there is no scheduler. `scheduler` is Pool-0's.
        `threads_per_core` and `cores_per_socket` (0: all in one socket): how these CPUs lie, in the
        order of their numbers. The nodes of `memory` have them in equal shares.
        `credit2_runqueue`: which of them share a runqueue of credit2. `smt_power_savings`: vcpus
        are put together on few cores, not spread over many.
        """
        if not 0 <= cpus <= MAX_CPUS:
            raise UsageError(f"{cpus} CPUs are not 0 to {MAX_CPUS}")
        if threads_per_core < 1 or cores_per_socket < 0:
            raise UsageError("a core has 1 thread or more, a socket 1 core or more (0: all)")
        extents = memory_extents(memory)
        if max_domain_memory is None:
            total = sum(extent.size for extent in extents)
            max_domain_memory = min(max(total, DEFAULT_MAX_DOMAIN), MOST_MAX_DOMAIN)
        config = ffi.new("struct pv_machine_config *")
        array = ffi.new(
            "struct pv_memory_extent[]", [(e.start, e.size, e.node, not e.present) for e in extents]
        )
        config.extents, config.extent_count = array, len(extents)
        config.max_domains = max_domains
        config.max_domain_memory = parse_size(max_domain_memory)
        config.virtual_time = virtual_time
        config.cpus = cpus
        config.scheduler = scheduler
        config.threads_per_core, config.cores_per_socket = threads_per_core, cores_per_socket
        config.credit2_runqueue, config.smt_power_savings = credit2_runqueue, smt_power_savings
        out = ffi.new("struct pv_machine **")
        check(lib.pv_machine_create(config, out), "creating a machine")
        self._init(out[0])

    def _init(self, cdata: Any) -> None:
        self._cdata = cdata
        self._hypervisors: list[Hypervisor] = []
        self._trace_cursor = ffi.new("uint64_t *")
        self._trace_lost = ffi.new("uint64_t *")
        self.scheduler = Scheduler(self)
        self.pages = Pages(self)
        self.xentrace = XenTrace(self)

    @property
    def cdata(self) -> Any:
        """The `struct pv_machine *`; UsageError once the machine is closed."""
        if self._cdata is None:
            raise UsageError("the machine is closed")
        return self._cdata

    @classmethod
    def attach(cls, socket_path: str | os.PathLike[str]) -> Self:
        """Joins the machine that another process serves at `socket_path`."""
        path = os.fspath(socket_path)
        out = ffi.new("struct pv_machine **")
        result = lib.pv_machine_attach(os.fsencode(path), out)
        if result in (-errno.ENOENT, -errno.ECONNREFUSED):
            raise MachineError(-result, f"no machine is served at {path}")
        check(result, f"attaching to the machine at {path}")
        machine = cls.__new__(cls)
        machine._init(out[0])
        return machine

    def serve(self, socket_path: str | os.PathLike[str]) -> None:
        """Lets other processes attach, from a thread that ends with `close`."""
        path = os.fspath(socket_path)
        check(lib.pv_machine_serve(self.cdata, os.fsencode(path)), f"serving at {path}")

    def create_domain(
        self,
        *,
        domid: int | None = None,
        abi: Abi = Abi.X86_64,
        memory: int | str = "16M",
        max_memory: int | str = 0,
        vcpus: int = 1,
        privileged: bool = False,
        max_event_channels: int = 0,
        max_grant_frames: int = 0,
        max_maptrack_frames: int = 0,
        max_grant_version: int = 0,
        paused: bool = False,
        cpupool: int = 0,
        online_vcpus: int = 0,
        uuid: UUID | None = None,
    ) -> Domain:
        """Creates a domain; zero limits stand for Xen's defaults. `max_memory`: what it may be
        given in all, 0 for no more than `memory`. `cpupool`: where it runs on a machine with
        CPUs. `online_vcpus`: how many are up from the beginning, 0 for all. `uuid`: None for a
        random one, in virtual time for one that is the same in each run."""
        if not 1 <= vcpus <= MAX_VCPUS:
            raise UsageError(f"a domain has 1 to {MAX_VCPUS} vcpus, not {vcpus}")
        config = ffi.new("struct pv_domain_config *")
        config.abi, config.memory, config.vcpus = abi, parse_size(memory), vcpus
        config.max_memory = parse_size(max_memory)
        config.privileged = privileged
        config.max_event_channels = max_event_channels
        config.max_grant_frames = max_grant_frames
        config.max_maptrack_frames = max_maptrack_frames
        config.max_grant_version = max_grant_version
        config.cpupool = cpupool
        config.online_vcpus = online_vcpus
        wanted = lib.DOMID_INVALID if domid is None else domid
        created = check(lib.pv_domain_create(self.cdata, wanted, config), "creating a domain")
        domain = Domain(self, created)
        domain.uuid = uuid or self._make_uuid(domain)
        if not paused:
            domain.unpause()
        return domain

    def _make_uuid(self, domain: Domain) -> UUID:
        if not lib.pv_machine_is_virtual_time(self.cdata):
            return uuid4()
        return uuid5(_UUIDS, f"{domain.domid}.{domain.info.generation}")

    def domain(self, domid: int) -> Domain:
        """The domain that has this domid, made by whatever process."""
        domain = Domain(self, domid)
        assert domain.info
        return domain

    def domains(self) -> list[Domain]:
        """All there are, by domid, those that are dying included."""
        found, domid = [], lib.pv_domain_next(self.cdata, 0)
        while domid >= 0:
            found.append(Domain(self, domid))
            domid = lib.pv_domain_next(self.cdata, domid + 1)
        return found

    def open_hypervisor(self, domid: int) -> Hypervisor:
        """This process's view as domain `domid`."""
        out = ffi.new("struct pv_hypervisor **")
        what = f"opening the hypervisor as domain {domid}"
        check(lib.pv_machine_open_hypervisor(self.cdata, domid, out), what)
        hypervisor = Hypervisor(out[0], keep_alive=self)
        self._hypervisors.append(hypervisor)
        return hypervisor

    @property
    def free_memory(self) -> int:
        """Bytes no domain owns."""
        return int(lib.pv_machine_free_memory(self.cdata))

    @property
    def outstanding_claims(self) -> int:
        """Bytes of free memory that domains have claimed (`Reservation.claim`)."""
        return int(lib.pv_machine_outstanding_claims(self.cdata))

    def available_memory(
        self, node: int | None = None, *, min_width: int = 0, max_width: int = 0
    ) -> int:
        """Bytes of free memory of a node or of all, whose addresses have `min_width` to `max_width`
        bits; 0: any. Claims are not considered."""
        number = -1 if node is None else node
        return int(lib.pv_machine_available_memory(self.cdata, number, min_width, max_width))

    @property
    def total_memory(self) -> int:
        return int(lib.pv_machine_total_memory(self.cdata))

    @property
    def nodes(self) -> list[NodeMemory]:
        """The memory of each NUMA node, by number."""
        memory, found = ffi.new("struct pv_node_memory *"), []
        for node in range(lib.pv_machine_node_count(self.cdata)):
            check(lib.pv_machine_node_memory(self.cdata, node, memory), f"node {node}")
            found.append(
                NodeMemory(memory.total, memory.free, memory.free_below_4g, memory.offlined)
            )
        return found

    def add_memory(self, extent: MemoryExtent) -> None:
        """Plugs a board in: an extent that is not `present` in the machine's map is there from
        now on. It is removed by offlining its pages.

        MachineError: EINVAL, no extent is so, or it is there already."""
        wanted = ffi.new("struct pv_memory_extent *", (extent.start, extent.size, extent.node))
        what = f"adding the memory from {extent.start:#x} to {extent.end:#x} of node {extent.node}"
        check(lib.pv_machine_add_memory(self.cdata, wanted), what)

    @property
    def frame_table(self) -> FrameTable:
        table = ffi.new("struct pv_frame_table *")
        check(lib.pv_machine_frame_table(self.cdata, table), "the frame table")
        return FrameTable(table.resident, table.existing, table.dense)

    @property
    def resident_memory(self) -> int:
        """Bytes of the host's memory behind the machine."""
        return int(lib.pv_machine_resident_memory(self.cdata))

    def has_frame(self, mfn: int) -> bool:
        """Whether a machine frame (4 KiB) is memory, not a hole."""
        return bool(lib.pv_machine_check_frame(self.cdata, mfn) == 0)

    def start_trace(self) -> None:
        """Records from now on what the hypervisor does; the last 65536 records are kept."""
        lib.pv_machine_trace_enable(self.cdata, True)

    def trace(self, event: TraceEvent, domid: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        """Adds a record of the program's own."""
        lib.pv_machine_trace(self.cdata, event, domid, a, b, c)

    def read_trace(self) -> list[TraceRecord]:
        """The records since the last call, oldest first."""
        batch, found = 4096, []
        records = ffi.new("struct pv_trace_record[]", batch)
        while count := lib.pv_machine_trace_read(
            self.cdata, self._trace_cursor, records, batch, self._trace_lost
        ):
            found += [
                TraceRecord(r.time, TraceEvent(r.event), r.domid, r.a, r.b, r.c)
                for r in records[0:count]
            ]
        return found

    @property
    def trace_lost(self) -> int:
        """Records that were overwritten before `read_trace` came for them."""
        return int(self._trace_lost[0])

    @property
    def console(self) -> str:
        """The hypervisor's log, as `xl dmesg` prints it: its last 64 KiB."""
        return console.read(self.cdata)

    def debug_keys(self, keys: str) -> None:
        """Has the hypervisor print to the console what each key asks for; `h` lists the keys."""
        console.press(self.cdata, keys)

    @property
    def now(self) -> int:
        """The machine's time, ns."""
        return int(lib.pv_machine_now(self.cdata))

    @property
    def next_event(self) -> int | None:
        """When something happens by itself, such as a timer of a vcpu that expires, ns; or None."""
        at = int(lib.pv_machine_next_event(self.cdata))
        return None if at == FOR_EVER else at

    def advance(self, ns: int) -> None:
        """Moves virtual time on."""
        lib.pv_machine_advance(self.cdata, ns)

    def close(self) -> None:
        if self._cdata is None:
            return
        for hypervisor in self._hypervisors:
            hypervisor.close()
        lib.pv_machine_close(self._cdata)
        self._cdata = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._cdata is None:
            return "<Machine, closed>"
        return f"<Machine, {self.total_memory >> 20} MiB, {self.free_memory >> 20} MiB free>"
