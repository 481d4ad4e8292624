"""Many vifs of one domain, each on an uplink of its own, which can be exchanged; a fault of one
affects no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from pvdrivers.backends.device import RefusedDevice
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.backends.vnif.served_vif import ServedVif
from pvdrivers.backends.vnif.service import VnifService
from pvdrivers.backends.vnif.vif import ServeOptions, VifConfig
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.xenbus.states import FRONTEND, XenbusState


class Uplinks:
    """Opens uplinks, and keeps them."""

    def __init__(self) -> None:
        self.made: list[Uplink] = []
        self.late_may_open = asyncio.Event()

    async def hairpin(self, vif: VifConfig) -> Uplink:
        return self._keep(HairpinUplink(2))

    async def null(self, vif: VifConfig) -> Uplink:
        return self._keep(NullUplink(2))

    async def broken(self, vif: VifConfig) -> Uplink:
        raise OSError(19, f"{vif.interface}: no such interface")

    async def late(self, vif: VifConfig) -> Uplink:
        await self.late_may_open.wait()
        return self._keep(NullUplink(2))

    def _keep(self, uplink: Uplink) -> Uplink:
        self.made.append(uplink)
        return uplink

    @property
    def open(self) -> int:
        return sum("closed" not in repr(uplink) for uplink in self.made)


@asynccontextmanager
async def vif(**keys: str) -> AsyncIterator[VnifPair]:
    """A vif whose frontend the test starts; its backend is a service's."""
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        pair = VnifPair(dom0.hypervisor, guest.hypervisor, NullUplink(), connect=False, **keys)
        async with asyncio.timeout(30), pair:
            yield pair


def service(pair: VnifPair, options: ServeOptions, folder: Path | None = None) -> VnifService:
    hypervisor = pair._hypervisors[0]
    return VnifService(pair.toolstack, hypervisor, lambda vif: options, state_directory=folder)


async def echo(pair: VnifPair, number: int) -> None:
    await pair.frontend.send([frame(number)])
    assert [packet.data for packet in await pair.frontend.receive()] == [frame(number)]


def test_a_vif_is_served_and_its_uplink_is_closed_with_it() -> None:
    async def main() -> None:
        uplinks = Uplinks()
        async with vif() as pair, service(pair, ServeOptions(uplinks.hairpin)) as served:
            pair.frontend.start()
            await pair.frontend.connected()
            await echo(pair, 1)
            path = f"{pair.config.backend_path}/hotplug-status"
            assert await pair.toolstack.read_str(path) == "connected"
            (device,) = served.devices.values()
            assert device.status()["name"] == "vif1.0"
            assert uplinks.open == 1
            assert await pair.unplug()
            await pair.wait(lambda: not served.devices)
            assert uplinks.open == 0

    asyncio.run(main())


def test_a_script_says_when_the_uplink_is_in_place() -> None:
    async def main() -> None:
        options = ServeOptions(Uplinks().hairpin, VnifBackendOptions(wait_for_hotplug=True))
        async with vif(script="vif-bridge") as pair, service(pair, options):
            pair.frontend.start()
            path = f"{pair.config.backend_path}/hotplug-status"
            await asyncio.sleep(0.05)
            assert await pair.toolstack.read_str(path) == ""
            assert not pair.frontend.accepts
            await pair.toolstack.write(path, "connected")
            await pair.frontend.connected()

    asyncio.run(main())


@pytest.mark.parametrize("control_ring", [True, False], ids=["same offer", "other offer"])
def test_a_successor_stands_by_an_offer_that_is_answered(control_ring: bool) -> None:
    """The service before it ended while it waited for the script. Linux's netfront has published
    its rings and Connected by then, and answers neither a second offer nor Initialising."""

    async def main() -> None:
        waiting = VnifBackendOptions(wait_for_hotplug=True)
        first = ServeOptions(Uplinks().hairpin, waiting)
        second = ServeOptions(Uplinks().hairpin, replace(waiting, control_ring=control_ring))
        async with vif(script="vif-bridge") as pair:
            path = pair.config.backend_path
            pair.frontend.fsm.table = FRONTEND  # without what is not Linux's
            pair.frontend.start()
            async with service(pair, first):
                await pair.frontend.wait_for(XenbusState.INITIALISED)
            async with service(pair, second) as served:
                await pair.wait(lambda: [d for d in served.devices.values() if d.state.value > 0])
                assert await pair.toolstack.read_str(f"{path}/state") == "2"
                await pair.toolstack.write(f"{path}/hotplug-status", "connected")
                await pair.frontend.connected()
                await echo(pair, 1)

    asyncio.run(main())


def test_an_uplink_that_cannot_be_opened_is_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        uplinks = Uplinks()
        async with vif() as pair, service(pair, ServeOptions(uplinks.broken)) as served:
            pair.frontend.start()
            await pair.wait(lambda: served.devices)
            (device,) = served.devices.values()
            assert isinstance(device, RefusedDevice)
            path = f"{pair.config.backend_path}/hotplug-error"
            await pair.wait(lambda: device.last_error)
            assert "vif1.0: no such interface" in await pair.toolstack.read_str(path)
            await served.reload(lambda vif: ServeOptions(uplinks.hairpin))
            await pair.wait(lambda: pair.frontend.accepts)
            await echo(pair, 1)

    asyncio.run(main())
    assert "Traceback" not in caplog.text


def test_another_uplink_while_it_is_in_use(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pvdrivers.backends")

    async def main() -> None:
        uplinks = Uplinks()
        hairpin, null = ServeOptions(uplinks.hairpin), ServeOptions(uplinks.late)
        async with vif() as pair, service(pair, hairpin) as served:
            pair.frontend.start()
            await pair.frontend.connected()
            await echo(pair, 1)
            await served.reload(lambda vif: null)
            await echo(pair, 2)  # the other is not open yet
            uplinks.late_may_open.set()
            await pair.wait(lambda: len(uplinks.made) == 2 and uplinks.open == 1)
            (device,) = served.devices.values()
            assert isinstance(device, ServedVif)
            assert device.serve_options == null
            await pair.frontend.send([frame(3)])
            await pair.wait(lambda: uplinks.made[1].statistics().tx_packets == 1)
            await served.reload(lambda vif: ServeOptions(uplinks.broken))
            await pair.wait(lambda: "stays as it is" in caplog.text)
            await pair.frontend.send([frame(4)])
            await pair.wait(lambda: uplinks.made[1].statistics().tx_packets == 2)
            narrow = ServeOptions(uplinks.late, VnifBackendOptions(max_queues=1))
            await served.reload(lambda vif: narrow)
            assert "max_queues 4 -> 1 from the next connection on" in caplog.text
            assert pair.frontend.reissued == 0

    asyncio.run(main())


def test_a_drained_service_is_followed_by_another(tmp_path: Path) -> None:
    async def main() -> None:
        uplinks = Uplinks()
        options = ServeOptions(uplinks.hairpin)
        async with vif() as pair:
            for number in range(3):
                async with service(pair, options, tmp_path / "state") as served:
                    if number == 0:
                        pair.frontend.start()
                        await pair.frontend.connected()
                    await pair.wait(lambda served=served: served.devices)
                    await echo(pair, number)
                assert pair.frontend.accepts  # it has noticed nothing
            assert uplinks.open == 0

    asyncio.run(main())


def test_a_fault_of_one_guest_leaves_the_other_alone() -> None:
    async def main() -> None:
        uplinks = Uplinks()
        async with vif() as pair:
            hypervisors = pair._hypervisors
            bad = VnifPair(
                *hypervisors, NullUplink(), devid=1, xenstore=pair.xenstore, connect=False
            )
            async with bad, service(pair, ServeOptions(uplinks.hairpin)) as served:
                pair.frontend.start()
                await pair.frontend.connected()

                async def nonsense(keys: dict[str, str], honest=bad.frontend.publish_keys) -> None:
                    await honest({**keys, "rx-ring-ref": "none"})

                bad.frontend.publish_keys = nonsense  # type: ignore[method-assign]
                bad.frontend.start()
                faulty = partial(served.devices.get, bad.config.backend_path)
                await pair.wait(lambda: (device := faulty()) and device.last_error)
                assert faulty().last_error == "rx-ring-ref is 'none', not a number"
                await echo(pair, 1)

    asyncio.run(main())
