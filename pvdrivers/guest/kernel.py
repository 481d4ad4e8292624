"""What a guest's kernel does for the programs in it: drives its devices, answers its toolstack.

async def main(kernel: Kernel) -> None:
    disk = await kernel.disk("xvda")
    ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import MappingProxyType
from typing import Self, TypeVar

from pvdrivers._core import lib
from pvdrivers.background import in_background
from pvdrivers.frontends.balloon import Balloon
from pvdrivers.frontends.control import ShutdownRequest, follow_vcpus, shutdown_request
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim import Machine, MachineError, ShutdownReason
from pvdrivers.toolstack.xenstore_rings import GuestXenstore
from pvdrivers.vbd.numbering import number_of
from pvdrivers.xenbus.bus import DeviceBus, frontend_bus
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenstore.client import XenstoreClient

F = TypeVar("F", bound=FrontendDevice)
AnyFrontend = type[VbdFrontend] | type[VnifFrontend] | type[ScsiFrontend]
FRONTENDS: Mapping[str, AnyFrontend] = MappingProxyType(
    {"vbd": VbdFrontend, "vif": VnifFrontend, "vscsi": ScsiFrontend}
)


class Kernel:
    """Entered, it drives the domain's devices, those that are plugged in later too."""

    def __init__(self, machine: Machine, domid: int, arguments: tuple[str, ...] = ()) -> None:
        """`arguments`: what the program is told on the kernel's command line."""
        self.domain = machine.domain(domid)
        self.arguments = arguments
        self._running = AsyncExitStack()
        self._buses: dict[str, DeviceBus] = {}
        self.xenstore: XenstoreClient

    async def __aenter__(self) -> Self:
        hypervisor = self.domain.hypervisor
        ring = GuestXenstore(hypervisor)
        self._running.callback(ring.close)
        self.xenstore = ring.client
        for kind, frontend in FRONTENDS.items():
            probe = partial(_probe, frontend, hypervisor)
            bus = frontend_bus(self.xenstore, self.domain.domid, kind, probe)
            bus.start()
            self._running.push_async_callback(bus.abort)
            self._buses[kind] = bus
        vcpus = self.domain.info.vcpus
        for work in (
            Balloon(self.xenstore, hypervisor).run(),
            follow_vcpus(self.xenstore, vcpus, self._set_online),
        ):
            await self._running.enter_async_context(in_background(work))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._running.aclose()

    # ---- For programs ------------------------------------------------------------------------

    async def disk(self, name: str) -> VbdFrontend:
        """The disk `name` (xvda, sdb …), once it is connected. ValueError: no disk has the name."""
        disk = await self._device(VbdFrontend, "vbd", number_of(name))
        await disk.connected()
        return disk

    async def network(self, number: int = 0) -> VnifFrontend:
        """A network device, once it is connected."""
        network = await self._device(VnifFrontend, "vif", number)
        await network.connected()
        return network

    async def scsi_host(self, number: int = 0) -> ScsiFrontend:
        """A virtual SCSI host, once it is connected."""
        host = await self._device(ScsiFrontend, "vscsi", number)
        await host.connected()
        return host

    async def device_numbers(self, kind: str) -> list[int]:
        """Of the devices of a kind (vbd, vif, vscsi) that the domain has now."""
        path = f"device/{kind}"
        if not await self.xenstore.exists(path):
            return []
        return sorted(map(int, await self.xenstore.directory(path)))

    async def _device(self, frontend: type[F], kind: str, number: int) -> F:
        bus = self._buses[kind]
        device = await bus.wait_for(f"{bus.root}/{number}")
        assert isinstance(device, frontend)
        return device

    # ---- Life --------------------------------------------------------------------------------

    async def run(self, program: Program) -> None:
        """Until the program has ended or the toolstack has asked for an end. Then the devices are
        closed in order, and the domain has shut down.

        What the program raises is raised, and the domain is left as it is: its process is about to
        end, which is how a kernel crashes.
        """
        running = asyncio.ensure_future(program(self))
        asked = asyncio.ensure_future(shutdown_request(self.xenstore))
        try:
            await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
            rebooting = asked.done() and asked.result() is ShutdownRequest.REBOOT
            if running.done():
                running.result()
        finally:
            for task in (running, asked):
                task.cancel()
            await asyncio.wait([running, asked])
        await asyncio.gather(*(bus.close() for bus in self._buses.values()))
        self.domain.shutdown(ShutdownReason.REBOOT if rebooting else ShutdownReason.POWEROFF)

    def _set_online(self, number: int, online: bool) -> None:
        vcpu = self.domain.vcpu(number)
        if vcpu.is_up == online:
            return
        if not online:
            vcpu.down()
            return
        with suppress(MachineError):  # it has been up before
            vcpu.initialise(bytes(lib.pv_vcpu_context_size(self.domain.info.abi)))
        vcpu.up()


Program = Callable[[Kernel], Awaitable[None]]


def _probe(
    frontend: AnyFrontend, hypervisor: Hypervisor, client: XenstoreClient, path: str
) -> FrontendDevice:
    return frontend(client, path, hypervisor)
