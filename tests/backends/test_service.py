"""What a service does for every device class."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.device import Backend, DeviceContext, QueueContext, RefusedDevice
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.toolstack.devices import DeviceConfig, add_device
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore
from tests.until import until

PATIENCE = 20.0


class House:
    """dom0, its xenstore, and devices of the kinds `a` and `b` that a toolstack adds."""

    def __init__(self, machine: Machine) -> None:
        self.hypervisor = machine.create_domain(privileged=True).hypervisor
        self.client = XenstoreClient.in_process(XenStore())
        self.reads = 0

    async def add(self, kind: str, devid: int = 0) -> str:
        config = DeviceConfig(kind, devid, 1, backend_keys={"note": "first"})
        await add_device(self.client, config)
        return config.backend_path

    async def read(self, client: XenstoreClient, path: str) -> str:
        self.reads += 1
        return str((await client.read_keys(path, ("note",)))["note"])

    def service(self, kind: str, make: Any, **arguments: Any) -> Service[str, bool]:
        device_class = DeviceClass(kind, self.read, make)
        return Service(device_class, self.client, self.hypervisor, lambda _: True, **arguments)


async def plain(context: DeviceContext, config: str, options: bool) -> BackendDevice:
    return BackendDevice(context.client, context.path)


@pytest.fixture
def house() -> Any:
    with Machine() as machine:
        yield House(machine)


@pytest.mark.slow
def test_services_of_two_classes_share_a_state_directory(house: House, tmp_path: Path) -> None:
    """Each looks at the files of its own class, and keeps its own class's other services out."""
    state = tmp_path / "state"

    async def main() -> None:
        async with house.service("a", plain, state_directory=state):
            left = state / "b-1-0"
            left.write_bytes(b"")
            async with house.service("a2", plain, state_directory=state):
                assert left.exists()
            with pytest.raises(UsageError, match="in use by process"):
                await house.service("a", plain, state_directory=state).__aenter__()
            async with house.service("b", plain, state_directory=state):
                assert not left.exists()

    asyncio.run(main())


def test_a_device_that_is_replaced_while_it_is_made_is_made_again(house: House) -> None:
    configs, removed = [], []

    class Device(BackendDevice):
        async def removed(self) -> None:
            removed.append(self)

    async def make(context: DeviceContext, config: str, options: bool) -> BackendDevice:
        configs.append(config)
        if len(configs) == 1:
            await house.client.write(f"{context.path}/note", "second")
        return Device(context.client, context.path)

    async def main() -> None:
        path = await house.add("a")
        async with house.service("a", make) as service:
            await until(lambda: path in service.devices)
            assert configs == ["first", "second"]
            assert len(removed) == 1, "the first gives back what it was made with"
            assert removed[0] is not service.devices[path]

    asyncio.run(main())


def test_a_device_that_cannot_be_made_says_why_and_is_tried_again(house: House) -> None:
    broken = True

    async def make(context: DeviceContext, config: str, options: bool) -> BackendDevice:
        if broken and context.path.endswith("/0"):
            raise OSError(5, "the cable is out")
        return BackendDevice(context.client, context.path)

    async def main() -> None:
        nonlocal broken
        refused, healthy = await house.add("a", 0), await house.add("a", 1)
        async with house.service("a", make) as service:
            await until(lambda: {refused, healthy} <= service.devices.keys())
            assert "the cable is out" in service.devices[refused].status()["last_error"]
            kept = service.devices[healthy]
            broken = False
            await service.reload(service.options_for)
            await until(lambda: type(service.devices.get(refused)) is BackendDevice)
            assert service.devices[healthy] is kept

    asyncio.run(main())


def test_a_reload_leaves_a_device_that_comes_meanwhile(house: House) -> None:
    """One that was refused is unplugged while another takes its time to reload; the next in its
    place is served already, and not made a second time."""
    made = 0

    class Slow(Backend[str, Any]):
        async def reload(self, options: object) -> bool:
            await house.client.remove("/local/domain/0/backend/a/1/0")
            await until(lambda: refused not in service.devices)
            await house.client.remove("/local/domain/1/device/a/0")
            await house.add("a", 0)
            await until(lambda: type(service.devices.get(refused)) is BackendDevice)
            return True

        async def read_rings(self) -> list[str]:
            return []

        def open_queue(self, ring: str, context: QueueContext) -> Any:
            raise AssertionError("it has no rings")

    async def make(context: DeviceContext, config: str, options: bool) -> BackendDevice:
        nonlocal made
        if context.path.endswith("/1"):
            return Slow(context)
        made += 1
        if made == 1:
            raise OSError(5, "the cable is out")
        return BackendDevice(context.client, context.path)

    async def main() -> None:
        nonlocal refused, service
        refused, slow = await house.add("a", 0), await house.add("a", 1)
        async with house.service("a", make) as service:
            await until(lambda: {refused, slow} <= service.devices.keys())
            assert isinstance(service.devices[refused], RefusedDevice)
            await service.reload(service.options_for)
            assert made == 2
            assert not service.devices[refused].is_gone

    refused: str
    service: Service[str, bool]
    asyncio.run(main())
