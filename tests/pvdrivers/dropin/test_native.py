"""The seam over the real Xen libraries, on the drop-in ones: a dom0 daemon's way without a Xen."""

import asyncio
import sys

import pytest

from pvdrivers._core import lib
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vbd.operations import read, write
from pvdrivers.testing.dropin import DROPIN
from pvdrivers.toolstack.devices import add_device, unplug_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient

BACKEND = """
import asyncio
import sys

from pvdrivers import native
from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.backends.stores.store import FileStore
from pvdrivers.xenbus.bus import backend_bus


async def main():
    client = await native.connect_store()
    hypervisor = await native.open_hypervisor(client, sys.argv[1])
    store = FileStore(sys.argv[2])

    def probe(client, path):
        return VbdBackend(DeviceContext(client, path, hypervisor), store)

    bus = backend_bus(client, 0, "vbd", probe)
    bus.start()
    await asyncio.Event().wait()


asyncio.run(main())
"""


def pattern(sectors: int, salt: int = 0) -> bytes:
    return b"".join((i * 2654435761 + salt).to_bytes(8, "little") * 64 for i in range(sectors))


async def exercise(frontend: VbdFrontend, image) -> None:
    for sector, count in ((0, 8), (8, 24), (800, 88), (1024, 256), (4096, 2048)):
        await frontend.write(sector, pattern(count, sector))
        assert image.read_bytes()[sector * 512 :][: count * 512] == pattern(count, sector)
        assert await frontend.read(sector, count) == pattern(count, sector)
    await frontend.submit([write(i * 8, pattern(8, i)) for i in range(400)])
    reads = await frontend.submit([read(i * 8, 8) for i in range(400)])
    assert [operation.data for operation in reads] == [pattern(8, i) for i in range(400)]


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("order", [0, 4])
def test_a_backend_on_the_real_libraries_serves_a_guest(world, xenstored, persistent, order):
    image = world.folder / "disk.img"
    image.write_bytes(bytes(4 << 20))
    config = disk_config("xvda", world.guest.domid)
    features = FrontendFeatures(persistent=persistent, max_ring_page_order=order)

    async def main() -> None:
        toolstack = await XenstoreClient.connect(xenstored)
        await toolstack.write("/local/domain/0/domid", "0")
        backend = world.start(0, sys.executable, "-c", BACKEND, DROPIN, image)
        await add_device(toolstack, config)
        frontend = VbdFrontend(
            await XenstoreClient.connect(xenstored),
            config.frontend_path,
            world.guest.hypervisor,
            features,
        )
        frontend.start()
        try:
            async with asyncio.timeout(30):
                await frontend.connected()
                await exercise(frontend, image)
                assert await unplug_device(toolstack, config)
            assert lib.pv_gnttab_handles(world.machine.cdata, 0) == 0
        finally:
            backend.kill()
            _, errors = await asyncio.to_thread(backend.communicate)
            await frontend.abort()
        assert errors == ""

    asyncio.run(main())
