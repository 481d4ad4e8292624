"""Watches the directory of one device type and keeps a driver for each device in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pvdrivers.xenbus.device import BackendDevice, FrontendDevice, XenbusDevice
from pvdrivers.xenbus.states import XenbusState, parse_state
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError

log = logging.getLogger("pvdrivers.xenbus")

Probed = XenbusDevice | None
Probe = Callable[[XenstoreClient, str], Probed | Awaitable[Probed]]


class XenbusBus:
    """Calls `probe(client, path)` for every new device below `root` and starts what it returns.

    `probe` may be a coroutine function; the next device waits until it is done. None: the device
    is somebody else's. `levels` is how deep devices lie: 1 for device/TYPE/ID, 2 for
    backend/TYPE/DOMID/ID. A device whose driver has ended is kept, so that it is not probed again,
    until its directory is gone or a new device is there.
    """

    def __init__(self, client: XenstoreClient, root: str, levels: int, probe: Probe) -> None:
        self.client = client
        self.root = root
        self.levels = levels
        self.probe = probe
        self.devices: dict[str, XenbusDevice] = {}
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._looking = asyncio.Lock()
        self._looks: set[asyncio.Task[None]] = set()
        self._over = False

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"bus {self.root}")

    async def ended(self) -> None:
        """Returns when the bus has ended by itself, raising why: xenstore is gone."""
        if self.task:
            await asyncio.shield(self.task)

    async def look(self) -> None:
        """Probes what has not been wanted so far; nothing once the bus has ended."""
        if self._over:
            return
        for path in await self._devices_of(self.root):
            await self._look_at(path)

    async def settled(self) -> None:
        """Until the device being probed just now, if there is one, is there or not wanted."""
        async with self._looking:
            return

    async def forget(self, path: str) -> None:
        """Lets go of the device at `path`, if there is one, and looks at it as if it were new."""
        if device := self.devices.get(path):
            await device.abort()
            async with self._looking:
                if self.devices.get(path) is device:
                    del self.devices[path]
            await self._look_at(path)

    async def wait_for(self, path: str) -> XenbusDevice:
        """The device at `path`, once it has been probed.

        ConnectionResetError when that will not be: the bus has ended, because xenstore is gone.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: path in self.devices or self._over)
        if path not in self.devices:
            raise ConnectionResetError(f"{self.root} is not watched any more")
        return self.devices[path]

    async def close(self) -> None:
        """Stops looking for devices, and closes those there are in order."""
        await self._stop()
        await asyncio.gather(*(device.close() for device in self.devices.values()))

    async def abort(self) -> None:
        """Stops at once: every device lets go of what it holds without a word to its peer."""
        await self._stop()
        await asyncio.gather(*(device.abort() for device in self.devices.values()))

    async def _stop(self) -> None:
        self._over = True
        if self.task:
            for task in (self.task, *self._looks):
                task.cancel()
            await asyncio.wait([self.task, *self._looks])

    async def _run(self) -> None:
        try:
            async with await self.client.watch(self.root) as watch:
                async for changed in watch:
                    for path in await self._devices_of(changed):
                        await self._look_at(path)
        finally:
            self._over = True
            async with self._changed:
                self._changed.notify_all()

    async def _devices_of(self, changed: str) -> list[str]:
        """The devices a changed path belongs to: one, or all below it."""
        below = changed.removeprefix(self.root).strip("/")
        parts = below.split("/") if below else []
        if len(parts) >= self.levels:
            return ["/".join([self.root, *parts[: self.levels]])]
        known = [path for path in self.devices if path.startswith(f"{changed.rstrip('/')}/")]
        paths = ["/".join([self.root, *parts])]
        for _ in range(self.levels - len(parts)):
            paths = [f"{path}/{name}" for path in paths for name in await self._names(path)]
        return list(dict.fromkeys([*known, *paths]))

    async def _names(self, path: str) -> list[str]:
        try:
            return await self.client.directory(path)
        except XenstoreError:
            return []

    def _ended(self, path: str) -> None:
        """A device's driver has ended, maybe after its directory: look once more."""
        if self._over:
            return
        look = asyncio.get_running_loop().create_task(self._look_at(path))
        self._looks.add(look)
        look.add_done_callback(self._looked)

    def _looked(self, look: asyncio.Task[None]) -> None:
        self._looks.discard(look)
        if not look.cancelled() and (error := look.exception()):
            log.debug("%s: %r", self.root, error)

    async def _look_at(self, path: str) -> None:
        async with self._looking:
            if not self._over:
                await self._probe_or_forget(path)

    async def _probe_or_forget(self, path: str) -> None:
        device = self.devices.get(path)
        if device and not device.finished:
            return
        state, online = await self.client.read_present([f"{path}/state", f"{path}/online"])
        # Only a toolstack writes Initialising where a driver has ended: the device is a new one.
        if state is None or parse_state(state) is XenbusState.INITIALISING:
            self.devices.pop(path, None)
        # A device being unplugged is not taken up any more.
        if state is not None and path not in self.devices and online != "0":
            probed = self.probe(self.client, path)
            device = await probed if isinstance(probed, Awaitable) else probed
            if device is not None:
                await self._add(path, device)

    async def _add(self, path: str, device: XenbusDevice) -> None:
        self.devices[path] = device
        log.debug("%s: probed", path)
        device.start().add_done_callback(lambda _: self._ended(path))
        async with self._changed:
            self._changed.notify_all()


def backend_bus(
    client: XenstoreClient,
    domid: int,
    kind: str,
    probe: Callable[[XenstoreClient, str], BackendDevice | Awaitable[BackendDevice | None] | None],
) -> XenbusBus:
    """Backends of one type, such as `vbd`, in domain `domid`."""
    return XenbusBus(client, f"/local/domain/{domid}/backend/{kind}", 2, probe)


def frontend_bus(
    client: XenstoreClient,
    domid: int,
    kind: str,
    probe: Callable[[XenstoreClient, str], FrontendDevice],
) -> XenbusBus:
    """Frontends of one type in domain `domid`."""
    return XenbusBus(client, f"/local/domain/{domid}/device/{kind}", 1, probe)
