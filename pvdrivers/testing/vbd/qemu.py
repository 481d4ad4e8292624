"""QEMU's own block backend (xen-block, in xl's words qdisk) as the peer of a frontend.

    async with QemuLoopback(machine, guest, "disk.img") as disk:
        await disk.frontend.write(0, b"x" * 512)

QEMU runs unmodified, in dom0 of the simulated machine, on the drop-in libraries; Debian has it in
the package qemu-system-xen. It wants an asyncio loop that can start processes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.testing.dropin import dropin_environment
from pvdrivers.toolstack.devices import unplug_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.store import XenStore

PROGRAM = Path("/usr/libexec/xen-qemu-system-i386")
PATIENCE = 30.0  # seconds for QEMU to start, and to end
MACHINE = ["-M", "xenpv", "-xen-attach", "-nodefaults", "-no-user-config", "-m", "16"]
NO_CONSOLES = ["-nographic", "-vga", "none", "-serial", "none", "-monitor", "none"]


class Qemu:
    """A QEMU in dom0 that serves every qdisk of one guest; `arguments` are more of QEMU's own."""

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


class QemuLoopback(AttachedDevice):
    """A file that QEMU serves to a frontend in `guest`; dom0 must exist and be privileged."""

    def __init__(
        self,
        machine: Machine,
        guest: Domain,
        image: str | os.PathLike[str],
        *,
        name: str = "xvda",
        features: FrontendFeatures | None = None,
        arguments: Sequence[str] = (),
        **disk: Any,
    ) -> None:
        """`disk`: what `disk_config` takes beside (cdrom, discard ...); `arguments`: QEMU's."""
        self.machine = machine
        self.guest = guest
        params = f"aio:{os.path.abspath(image)}"
        self.config = disk_config(name, guest.domid, kind="qdisk", params=params, **disk)
        self.features = features
        self._arguments = arguments
        self.xenstore = XenStore()
        self.qemu: Qemu
        self.frontend: VbdFrontend
        self._stack = AsyncExitStack()

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
        """Creates the disk and connects a frontend to it."""
        await super().plug()
        await self.open()

    async def open(self) -> None:
        """Connects a new frontend, the last one having closed."""
        client = XenstoreClient.in_process(self.xenstore, self.guest.domid)
        self.frontend = VbdFrontend(
            client, self.config.frontend_path, self.guest.hypervisor, self.features
        )
        self.frontend.start()
        async with asyncio.timeout(PATIENCE):
            await self.frontend.connected()

    async def kill_and_restart(self) -> None:
        """SIGKILL, and another QEMU on the same disk.

        QEMU takes up no device that is connected already, so the toolstack sends the backend's
        state back to Initialising, where a backend starts and a frontend starts over.
        """
        await self.qemu.stop(signal.SIGKILL)
        await self.toolstack.write(f"/local/domain/0/device-model/{self.guest.domid}/state", "")
        await self.qemu.start()
        state = f"{self.config.backend_path}/state"
        await self.toolstack.write(state, str(int(XenbusState.INITIALISING)))

    async def unplug(self) -> bool:
        """What `xl block-detach` does; False when the two ends did not close in time."""
        ends = (XenbusState.UNKNOWN,)
        return await unplug_device(self.toolstack, self.config, PATIENCE, ends)

    async def _unplug_at_the_end(self) -> None:
        if not await self.unplug():
            await self.unplug_forced()
        await self.frontend.abort()
