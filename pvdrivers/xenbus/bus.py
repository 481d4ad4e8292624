"""Watches the directory of one device type and keeps a driver for each device in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress

from pvdrivers.xenbus.device import BackendDevice, FrontendDevice, Vanished, XenbusDevice
from pvdrivers.xenbus.states import XenbusState, parse_state
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError

log = logging.getLogger("pvdrivers.xenbus")

Probed = XenbusDevice | None
Probe = Callable[[XenstoreClient, str], Probed | Awaitable[Probed]]


class DeviceBus:
    """Calls `probe(client, path)` for every new device below `root` and starts what it returns.

    `probe` may be a coroutine function. Devices are probed independently of each other, each in a
    task of its own, which is cancelled when the device goes. None: another program drives it.
    `levels` is how deep devices lie: 1 for device/TYPE/ID, 2 for backend/TYPE/DOMID/ID. A device
    whose driver has ended, or whose probe has raised, is not probed again until its directory is
    gone or a new device is there.
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
        self._probes: dict[str, asyncio.Task[None]] = {}  # under way
        self._failed: dict[str, Exception] = {}  # what a probe has raised
        self._tasks: set[asyncio.Task[None]] = set()  # probes and looks that have not ended
        self._over = False

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"bus {self.root}")
        self.task.add_done_callback(self._done)  # `ended` need not be called

    async def ended(self) -> None:
        """Returns when the bus has ended by itself, raising why: xenstore is gone."""
        if self.task:
            await asyncio.shield(self.task)

    async def look(self) -> None:
        """Probes the devices that `probe` refused so far; does nothing once the bus has ended."""
        if self._over:
            return
        await self._look_at(await self._devices_of([self.root]))

    @property
    def probing(self) -> list[str]:
        """The devices that are being probed just now."""
        return list(self._probes)

    async def forget(self, path: str) -> None:
        """Aborts the device at `path`, or its probe, and looks at it as if it were new."""
        device = self.devices.get(path)
        if device:
            await device.abort()
        async with self._looking:
            if self.devices.get(path) is device:
                self.devices.pop(path, None)
            self._cancel_probe(path)
            self._failed.pop(path, None)
        await self._look_at([path])

    async def wait_for(self, path: str) -> XenbusDevice:
        """The device at `path`, once it has been probed.

        Raises what its probe has raised, or ConnectionResetError when the bus has ended, because
        xenstore is gone.
        """

        def is_decided() -> bool:
            return path in self.devices or path in self._failed or self._over

        async with self._changed:
            await self._changed.wait_for(is_decided)
        if path in self.devices:
            return self.devices[path]
        raise self._failed.get(path) or ConnectionResetError(f"{self.root} is not watched any more")

    async def close(self) -> None:
        """Stops looking for devices, and closes those there are in order."""
        await self._stop()
        await asyncio.gather(*(device.close() for device in self.devices.values()))

    async def abort(self) -> None:
        """Stops at once: every device releases what it holds and tells its peer nothing."""
        await self._stop()
        await asyncio.gather(*(device.abort() for device in self.devices.values()))

    async def _stop(self) -> None:
        self._over = True
        if self.task:
            tasks = {self.task, *self._tasks}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        try:
            async with await self.client.watch(self.root) as watch:
                async for changed in watch:
                    # A toolstack writes a dozen keys at once: one look serves all that have come.
                    await self._look_at(await self._devices_of([changed, *watch.take()]))
        finally:
            self._over = True
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _devices_of(self, changed: Iterable[str]) -> dict[str, None]:
        """The devices that the changed paths belong to, each once: a path is in one device, or
        above several."""
        devices: dict[str, None] = {}
        for path in changed:
            below = path.removeprefix(self.root).strip("/")
            parts = below.split("/") if below else []
            if len(parts) >= self.levels:
                devices["/".join([self.root, *parts[: self.levels]])] = None
            else:
                devices |= await self._devices_below("/".join([self.root, *parts]), len(parts))
        return devices

    async def _devices_below(self, path: str, level: int) -> dict[str, None]:
        known = [*self.devices, *self._probes, *self._failed]
        there = [path]
        for _ in range(self.levels - level):
            names = await asyncio.gather(*map(self._names, there))
            there = [f"{home}/{n}" for home, below in zip(there, names, strict=True) for n in below]
        return dict.fromkeys([one for one in known if one.startswith(f"{path}/")] + there)

    async def _names(self, path: str) -> list[str]:
        try:
            return await self.client.directory(path)
        except XenstoreError:
            return []

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("%s: %r", self.root, error)  # xenstore is gone

    def _driver_ended(self, path: str) -> None:
        """A device's driver has ended, maybe after its directory: look once more."""
        if not self._over:
            self._spawn(self._look_at([path]), f"look at {path}")

    async def _look_at(self, paths: Iterable[str]) -> None:
        """One round trip, however many devices there are to look at."""
        async with self._looking:
            new = [path for path in paths if not self._is_driven(path)]
            if self._over or not new:
                return
            keys = [f"{path}/{key}" for path in new for key in ("state", "online")]
            values = await self.client.read_present(keys)
            for path, state, online in zip(new, values[::2], values[1::2], strict=True):
                await self._probe_or_forget(path, state, online)

    async def _probe_or_forget(self, path: str, state: str | None, online: str | None) -> None:
        if self._over or self._is_driven(path):  # the bus, or a probe, has ended meanwhile
            return
        if state is None:
            self._cancel_probe(path)
            self._failed.pop(path, None)
        # Only a toolstack writes Initialising where a driver has ended: the device is a new one.
        if state is None or parse_state(state) is XenbusState.INITIALISING:
            self.devices.pop(path, None)
        if state is None or path in self.devices or path in self._failed:
            return
        if online == "0":  # a device being unplugged is not taken up any more
            if self._cancel_probe(path):
                await self._publish_closed(path)
        elif path not in self._probes:
            self._probes[path] = self._spawn(self._probe(path), f"probe {path}")

    def _is_driven(self, path: str) -> bool:
        device = self.devices.get(path)
        return device is not None and not device.finished

    def _cancel_probe(self, path: str) -> bool:
        """True when there was one. Another may be begun at once."""
        probe = self._probes.pop(path, None)
        return probe is not None and probe.cancel()

    async def _publish_closed(self, path: str) -> None:
        """The answer a toolstack waits for, where there is no driver yet to give it."""
        with suppress(Vanished):
            state = str(int(XenbusState.CLOSED))
            await BackendDevice(self.client, path).write_keys({"state": state})

    async def _probe(self, path: str) -> None:
        this = asyncio.current_task()
        try:
            probed = self.probe(self.client, path)
            device = await probed if isinstance(probed, Awaitable) else probed
            if device is not None:
                self._add(path, device)
        except ConnectionError:
            raise  # xenstore is gone, and with it every device
        except Exception as error:
            log.exception("%s: cannot be probed", path)
            self._failed[path] = error
        finally:
            if self._probes.get(path) is this:
                del self._probes[path]
        await self._notify()

    def _add(self, path: str, device: XenbusDevice) -> None:
        self.devices[path] = device
        log.debug("%s: probed", path)
        device.start().add_done_callback(lambda _: self._driver_ended(path))


def backend_bus(
    client: XenstoreClient,
    domid: int,
    kind: str,
    probe: Callable[[XenstoreClient, str], BackendDevice | Awaitable[BackendDevice | None] | None],
) -> DeviceBus:
    """Backends of one type, such as `vbd`, in domain `domid`."""
    return DeviceBus(client, f"/local/domain/{domid}/backend/{kind}", 2, probe)


def frontend_bus(
    client: XenstoreClient,
    domid: int,
    kind: str,
    probe: Callable[[XenstoreClient, str], FrontendDevice],
) -> DeviceBus:
    """Frontends of one type in domain `domid`."""
    return DeviceBus(client, f"/local/domain/{domid}/device/{kind}", 1, probe)
