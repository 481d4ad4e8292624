"""A simulated machine on which each initiator is a guest: its commands go over a PV-SCSI ring."""

from __future__ import annotations

import asyncio
import errno
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from pvdrivers.backends.scsi.host import HostConfig, ScsiBackendOptions, ServeOptions
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.frontends.scsi.command import CommandResult, Issued, Submitted
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.features import FrontendFeatures
from pvdrivers.sim import Machine
from pvdrivers.sim.domain import Domain
from pvdrivers.tools.pvbridge.luns import CHANGER, MAX_TRANSFER, LunSpec, check_luns
from pvdrivers.toolstack.devices import add_device, create_domain_directory, destroy_device
from pvdrivers.toolstack.domain_builder import build, introduce
from pvdrivers.toolstack.xenstore_rings import GuestRings, GuestXenstore
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient

DOM0 = 0
MEMORY = 32 << 20  # bytes of each guest
MACHINE_MEMORY = 4 << 30  # bytes that guests can have together; used is what they touch
SG_GRANT = MAX_TRANSFER // 4096 + 1  # segments; data need not begin with a page
CONNECT_TIMEOUT = 30.0  # seconds for a guest's host to be there


class Guest:
    """An initiator's domain with its virtual host."""

    def __init__(
        self, domain: Domain, frontend: ScsiFrontend, block_sizes: Mapping[int, int]
    ) -> None:
        """`block_sizes`: of each LUN; 0 where the unit has no blocks."""
        self.domain = domain
        self.frontend = frontend
        self.luns = sorted(block_sizes)
        self._block_sizes = block_sizes
        self.max_transfer = MAX_TRANSFER

    def block_size(self, lun: int) -> int:
        return self._block_sizes[lun]

    def submit(self, lun: int, cdb: bytes, data_out: bytes | memoryview, room: int) -> Issued:
        """Begins a command; its `result` is there when its `done` is."""
        return self.frontend.submit(_address(lun), cdb, bytes(data_out), room)

    async def abort(self, issued: Submitted) -> None:
        """ABORT TASK."""
        await self.frontend.abort_task(issued)

    async def execute(
        self,
        lun: int,
        cdb: bytes,
        data_out: bytes | memoryview,
        room: int,
        patience: float | None = None,
    ) -> CommandResult:
        """As the frontend's; when cancelled, the command is aborted."""
        issued = self.submit(lun, cdb, data_out, room)
        try:
            return await self.frontend.result_of(issued, patience)
        except asyncio.CancelledError:
            await self.abort(issued)
            raise

    async def reset(self, lun: int) -> bool:
        return await self.frontend.reset_lun(_address(lun))


def _address(lun: int) -> ScsiAddress:
    return ScsiAddress(0, 0, 0, lun)


class MachineGuests:
    """Entered, it serves the logical units in dom0 of a machine of its own."""

    def __init__(self, specs: Sequence[LunSpec]) -> None:
        """UsageError: they cannot be together."""
        check_luns(specs)
        self._specs: Mapping[str, LunSpec] = {str(spec.number): spec for spec in specs}
        self._block_sizes: dict[int, int] = {}  # of the units, once they are open
        self._guests: dict[str, tuple[Guest, AsyncExitStack]] = {}

    async def __aenter__(self) -> Self:
        """UsageError, in one sentence: a logical unit cannot be opened."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        self._machine = stack.enter_context(Machine(MACHINE_MEMORY))
        dom0 = self._machine.create_domain(privileged=True)
        store = XenStore(clock=time.monotonic)
        stack.callback(GuestRings(store, self._machine, DOM0).close)
        self._toolstack = XenstoreClient.in_process(store, DOM0)
        stack.callback(self._toolstack.close)
        client = XenstoreClient.in_process(store, DOM0)
        stack.callback(client.close)
        driver = stack.enter_context(PollThreads(1, "hybrid"))
        limits = ScsiBackendOptions(sg_grant=SG_GRANT)
        options = ServeOptions(self._open, limits, stands_on=self._stands_on)
        service = ScsiService(client, dom0.hypervisor, lambda host: options, driver=driver)
        await stack.enter_async_context(service)
        # Kept open while there is no initiator: what is in memory, and reservations, stay.
        for name in self._specs:
            await self._acquire(service.units, name, stack)

    async def __aexit__(self, *exc_info: object) -> None:
        for name in list(self._guests):
            await self.leave(name)
        await self._stack.aclose()

    async def _acquire(self, units: Units, name: str, stack: AsyncExitStack) -> LogicalUnit:
        below = [await self._acquire(units, drive, stack) for drive in self._stands_on(None, name)]
        served = await units.acquire(name, partial(self._open, None, name, *below))
        stack.push_async_callback(units.release, name)
        return served.unit

    def _stands_on(self, host: HostConfig | None, name: str) -> Sequence[str]:
        if self._specs[name].kind != CHANGER:
            return ()
        return [drive for drive, spec in self._specs.items() if spec.is_drive]

    async def _open(self, host: HostConfig | None, name: str, *below: Any) -> LogicalUnit:
        spec = self._specs[name]
        opening = partial(spec.open, *below)
        unit = await open_in_daemon_thread(opening) if spec.may_block else opening()
        self._block_sizes[spec.number] = unit.store.sector_size if unit.store else 0
        return unit

    # ---- initiators ------------------------------------------------------------------------

    async def join(self, name: str) -> Guest:
        """OSError: there is no memory for one more, or its host does not connect."""
        if name in self._guests:
            return self._guests[name][0]
        async with AsyncExitStack() as stack:
            guest = await self._make(name, stack)
            self._guests[name] = guest, stack.pop_all()
        return guest

    async def leave(self, name: str) -> None:
        _, stack = self._guests.pop(name)
        await stack.aclose()

    async def _make(self, name: str, stack: AsyncExitStack) -> Guest:
        domain = self._machine.create_domain(memory=MEMORY)
        stack.callback(domain.destroy)
        domid, toolstack = domain.domid, self._toolstack
        await create_domain_directory(toolstack, domid)
        stack.push_async_callback(toolstack.remove, f"/local/domain/{domid}")
        # By this the backend knows the initiator again when it comes with another domain.
        vm = uuid.uuid5(uuid.NAMESPACE_URL, name)
        await toolstack.write(f"/local/domain/{domid}/vm", f"/vm/{vm}")
        await introduce(toolstack, domain, build(domain))
        luns = [LunConfig(key, _address(spec.number)) for key, spec in self._specs.items()]
        config = scsi_config(0, domid, luns=luns, domain_name=name)
        await add_device(toolstack, config)
        stack.push_async_callback(destroy_device, toolstack, config)
        xenstore = GuestXenstore(domain.hypervisor)
        stack.callback(xenstore.close)
        hypervisor = domain.hypervisor
        features = FrontendFeatures(protocol=hypervisor.abi.protocol, sg_grant=SG_GRANT)
        frontend = ScsiFrontend(xenstore.client, config.frontend_path, hypervisor, features)
        frontend.start()
        stack.push_async_callback(frontend.abort)
        await self._connect(frontend)
        return Guest(domain, frontend, self._block_sizes)

    async def _connect(self, frontend: ScsiFrontend) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                found = await frontend.connected()
        except (TimeoutError, PeerError) as error:
            raise OSError(errno.EIO, f"the guest's host does not connect: {error}") from None
        if len(found) < len(self._specs):
            raise OSError(errno.EIO, f"of {len(self._specs)} LUNs {len(found)} can be used")
