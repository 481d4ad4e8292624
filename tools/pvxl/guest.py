"""A guest of a simulated host: a domain with one disk, and the frontend its kernel would have."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pvdrivers.frontends.control import ShutdownRequest, shutdown_request
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.sim import Machine, ShutdownReason
from pvdrivers.toolstack.devices import add_device, create_domain_directory
from pvdrivers.toolstack.domain_builder import build, introduce, register
from pvdrivers.toolstack.xenstore_rings import GuestXenstore
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.bus import frontend_bus
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenbus.states import XenbusState, parse_state
from pvdrivers.xenstore.client import XenstoreClient

MEMORY = 64 << 20  # bytes of each guest
DISK = "xvda"
NAME = re.compile(r"[A-Za-z0-9_.+-]+")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A guest as the command line has it."""

    name: str
    image: Path

    @classmethod
    def parse(cls, text: str) -> GuestSpec:
        """From NAME=IMAGE. UsageError, in one sentence."""
        name, equals, path = text.partition("=")
        if not (equals and path and NAME.fullmatch(name)):
            raise UsageError(f"--guest {text}: write NAME=IMAGE, as in --guest web=web.img")
        image = Path(path)
        if not image.exists():
            raise UsageError(f"--guest {text}: no such image; make one: truncate --size 64M {path}")
        return cls(name, image)


class Guest:
    """Entered, it is there and waits for a backend; it says what becomes of its disk."""

    def __init__(self, machine: Machine, toolstack: XenstoreClient, spec: GuestSpec) -> None:
        self.spec = spec
        self.domain = machine.create_domain(memory=MEMORY)
        self._toolstack = toolstack
        self._disk = disk_config(
            DISK,
            self.domain.domid,
            params=str(spec.image.absolute()),
            writable=os.access(spec.image, os.W_OK),
            domain_name=spec.name,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """What a toolstack and then the guest's kernel do; undone by `stack`."""
        domid = self.domain.domid
        await create_domain_directory(self._toolstack, domid)
        await register(self._toolstack, self.domain, self.spec.name)
        await introduce(self._toolstack, self.domain, build(self.domain))
        await add_device(self._toolstack, self._disk)
        hypervisor = self.domain.hypervisor
        xenstore = GuestXenstore(hypervisor)
        stack.callback(xenstore.close)

        def probe(client: XenstoreClient, path: str) -> FrontendDevice:
            return VbdFrontend(client, path, hypervisor)

        self._bus = frontend_bus(xenstore.client, domid, "vbd", probe)
        self._bus.start()
        stack.push_async_callback(self._bus.abort)
        requests = asyncio.create_task(self._follow_toolstack(xenstore.client))
        stack.push_async_callback(asyncio.wait, [requests])
        stack.callback(requests.cancel)

    async def _follow_toolstack(self, client: XenstoreClient) -> None:
        """Shuts down when it is asked to, and is then what `xl list` shows as such."""
        with suppress(OSError):  # the domain was destroyed
            request = await shutdown_request(client)
            await self._bus.close()
            reason = ShutdownReason.POWEROFF
            if request is ShutdownRequest.REBOOT:
                reason = ShutdownReason.REBOOT
            self.domain.shutdown(reason)

    async def tell(self, say: Say) -> None:
        """Says when the disk can be used, and when not any more. Does not return."""
        device = await self._bus.wait_for(self._disk.frontend_path)
        assert isinstance(device, VbdFrontend)
        before = XenbusState.UNKNOWN
        state = f"{self._disk.frontend_path}/state"
        async with await self._toolstack.watch(state) as watch:
            async for _ in watch:
                now = parse_state(await self._toolstack.read_optional(state))
                if now is XenbusState.CONNECTED and before is not now:
                    say(f"{self.spec.name}: {await self._try_out(device)}")
                elif before is XenbusState.CONNECTED and before is not now:
                    say(f"{self.spec.name}: {DISK} is {now.name.lower()}")
                before = now

    async def _try_out(self, device: VbdFrontend) -> str:
        try:
            info = await device.connected()
            await device.read(0, 1)
        except (PeerError, OSError) as error:
            return f"{DISK} cannot be read: {error}"
        return f"{DISK} is connected, {info.sectors} sectors of 512 bytes, and can be read"

    def __str__(self) -> str:
        return f"{self.spec.name}: domain {self.domain.domid}, {DISK} on {self.spec.image}"
