"""QEMU's own backends as peers of a frontend, unmodified, in dom0 of the simulated machine.

QEMU runs on the drop-in libraries; Debian has it in the package qemu-system-xen. It wants an
asyncio loop that can start processes.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Generic, Self, TypeVar

from pvdrivers.frontends.device import Frontend
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.testing.dropin import dropin_environment
from pvdrivers.toolstack.devices import DeviceConfig, unplug_device
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.store import XenStore

PROGRAM = Path("/usr/libexec/xen-qemu-system-i386")
PATIENCE = 30.0  # seconds for QEMU to start, and to end
MACHINE = ["-M", "xenpv", "-xen-attach", "-nodefaults", "-no-user-config", "-m", "16"]
NO_CONSOLES = ["-nographic", "-vga", "none", "-serial", "none", "-monitor", "none"]

AnyFrontend = TypeVar("AnyFrontend", bound="Frontend")  # type: ignore[type-arg]


class Qemu:
    """A QEMU in dom0 that serves the devices of one guest; `arguments` are more of QEMU's own."""

    def __init__(
        self, guest: int, machine: Path, xenstored: Path, arguments: Sequence[str] = ()
    ) -> None:
        self._guest = guest
        self._machine = machine
        self._xenstored = xenstored
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it has said in xenstore that it runs. RuntimeError when it ends instead."""
        process = self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *MACHINE,
            *NO_CONSOLES,
            "-xen-domid",
            str(self._guest),
            *self._arguments,
            env=dropin_environment(self._machine, self._xenstored, 0),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = asyncio.ensure_future(process.wait())
        running = asyncio.ensure_future(self._wait_until_running())
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait((ended, running), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            _, errors = await process.communicate()
            raise RuntimeError(f"QEMU ended: {errors.decode()}")
        ended.cancel()
        running.result()

    async def _wait_until_running(self) -> None:
        state = f"/local/domain/0/device-model/{self._guest}/state"
        client = await XenstoreClient.connect(self._xenstored)
        try:
            async with await client.watch(state) as watch:
                async for _ in watch:
                    if await client.read_optional(state) == "running":
                        return
        finally:
            client.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, when it runs, and waits until it has ended."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            await self._process.communicate()


class QemuDevice(AttachedDevice, Generic[AnyFrontend]):
    """A device that QEMU serves to a frontend in `guest`; dom0 must exist and be privileged."""

    gone: Collection[XenbusState] = (XenbusState.UNKNOWN,)
    """The backend's state when QEMU has closed the device: its newer backends remove it."""

    def __init__(
        self,
        machine: Machine,
        guest: Domain,
        config: DeviceConfig,
        arguments: Sequence[str] = (),
    ) -> None:
        self.machine = machine
        self.guest = guest
        self.config = config
        self._arguments = arguments
        self.xenstore = XenStore()
        self.qemu: Qemu
        self.frontend: AnyFrontend
        self._stack = AsyncExitStack()

    @abstractmethod
    def make_frontend(self, client: XenstoreClient) -> AnyFrontend:
        """The guest's driver of the device, not started."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.machine.serve(folder / "machine")
            await stack.enter_async_context(SocketServer(self.xenstore, str(folder / "xenstored")))
            self.toolstack = XenstoreClient.in_process(self.xenstore, 0)
            await self.toolstack.write("/local/domain/0/domid", "0")
            self.qemu = Qemu(
                self.guest.domid, folder / "machine", folder / "xenstored", self._arguments
            )
            stack.push_async_callback(self.qemu.stop)
            await self.qemu.start()
            await self.plug()
            stack.push_async_callback(self._unplug_at_the_end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def plug(self) -> None:
        """Creates the device and connects a frontend to it."""
        await super().plug()
        await self.open()

    async def open(self) -> None:
        """Connects a new frontend, the last one having closed."""
        self.frontend = self.make_frontend(
            XenstoreClient.in_process(self.xenstore, self.guest.domid)
        )
        self.frontend.start()
        async with asyncio.timeout(PATIENCE):
            await self.frontend.wait_for(XenbusState.CONNECTED)

    async def unplug(self) -> bool:
        """What `xl` does to detach it; False when the two ends did not close in time."""
        return await unplug_device(self.toolstack, self.config, PATIENCE, self.gone)

    async def _unplug_at_the_end(self) -> None:
        if not await self.unplug():
            await self.unplug_forced()
        await self.frontend.abort()
