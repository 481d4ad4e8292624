"""What the backends of all device classes share: the life of a connection."""

import asyncio
from pathlib import Path
from typing import Any

from pvdrivers._core import ffi
from pvdrivers.backends.device import Backend, DeviceContext, QueueContext
from pvdrivers.backends.inflight import InflightFile, LogMemory
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.errors import PeerError
from pvdrivers.sim import Machine
from pvdrivers.toolstack.devices import DeviceConfig, add_device
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

CONFIG = DeviceConfig("a", 0, 1)
LOG = 4096  # bytes
PATIENCE = 20.0


class Recorder(Backend[str, Any]):
    """Notes the log that its queue would stand on."""

    log = b""

    async def read_rings(self) -> list[str]:
        return ["ring"]

    def inflight_size(self, ring: str) -> int:
        return LOG

    def is_resumable(self, ring: str, inflight: LogMemory) -> bool:
        return True

    def open_queue(self, ring: str, context: QueueContext) -> Any:
        self.log = bytes(ffi.buffer(context.inflight.address, LOG))
        raise PeerError("noted")


async def write_state(client: XenstoreClient, path: str, state: XenbusState) -> None:
    await client.write(f"{path}/state", str(int(state)))


async def log_of_next_connection(backend: Recorder, leaves: bool) -> bytes:
    """With both ends Connected to a predecessor, and a frontend that `leaves` or does not just
    when the predecessor's connection has been found good."""
    inherit = backend.inherit

    async def inherit_late() -> bool:
        found = await inherit()
        if leaves:
            await write_state(backend.client, CONFIG.frontend_path, XenbusState.INITIALISING)
        return found

    backend.inherit = inherit_late  # type: ignore[method-assign]
    backend.start()
    if leaves:
        await backend.wait_for(XenbusState.INIT_WAIT)
        await write_state(backend.client, CONFIG.frontend_path, XenbusState.INITIALISED)
    await backend.wait_for(XenbusState.CLOSING)
    await backend.abort()
    return backend.log


def test_only_the_connection_that_was_found_good_gets_its_log(tmp_path: Path) -> None:
    """A new one may well have the same grants and ports: requests of the old would be done again
    on its ring."""

    async def main(machine: Machine, leaves: bool) -> bytes:
        client = XenstoreClient.in_process(XenStore())
        await add_device(client, CONFIG)
        for path in (CONFIG.backend_path, CONFIG.frontend_path):
            await write_state(client, path, XenbusState.CONNECTED)
        hypervisor = machine.create_domain(privileged=True).hypervisor
        left = InflightFile(StateDirectory(tmp_path / "state"), "a-1-0")
        left.map([LOG])[0].address[0] = 1
        context = DeviceContext(
            client, CONFIG.backend_path, hypervisor, inflight=left, is_successor=True
        )
        return await log_of_next_connection(Recorder(context), leaves)

    with Machine() as machine:
        assert asyncio.run(main(machine, leaves=False))[0] == 1
    with Machine() as machine:
        assert asyncio.run(main(machine, leaves=True)) == bytes(LOG)


def test_one_that_was_never_started_asks_nothing_and_leaves_the_log(tmp_path: Path) -> None:
    """A service that ends while it makes a device waits for no xenstore; and the device made in
    its place may use the log already."""

    class Hung(XenstoreClient):
        async def read_optional(self, path: str) -> str | None:
            return await asyncio.Event().wait()

    async def main(hypervisor: Hypervisor) -> None:
        client = Hung.in_process(XenStore())
        log = InflightFile(StateDirectory(tmp_path / "state"), "a-1-0")
        log.map([LOG])
        context = DeviceContext(client, CONFIG.backend_path, hypervisor, inflight=log)
        async with asyncio.timeout(PATIENCE):
            await Recorder(context).removed()
        assert log.path.exists()

    with Machine() as machine:
        asyncio.run(main(machine.create_domain(privileged=True).hypervisor))
