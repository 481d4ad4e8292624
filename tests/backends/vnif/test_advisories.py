"""Xen's security advisories about network devices that need a whole device to be seen. Where the
others are tested says docs/vnif-hardening.md."""

from __future__ import annotations

import asyncio
import logging
import struct

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState

INDEX = (1 << 31).to_bytes(4, "little")
SLOT = struct.pack("<IHHHH", 8, 4096, 0, 0, 64)  # its data begin where their page ends


@pytest.mark.parametrize(
    ("ring", "written", "says"),
    [
        ("tx-ring-ref", {0: INDEX}, "the frontend overran its ring"),
        ("rx-ring-ref", {0: INDEX}, "the frontend overran its ring"),
        ("ctrl-ring-ref", {0: INDEX}, "the frontend overran its ring"),
        ("tx-ring-ref", {64: SLOT, 0: b"\1\0\0\0"}, "a slot's data leave its page"),
    ],
)
def test_xsa_39_90_a_broken_ring_ends_its_vif_alone(
    ring: str, written: dict[int, bytes], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What breaks a queue closes the device it is of, and is told of once, however often the guest
    goes on."""

    async def main(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True)
        guests = [machine.create_domain() for _ in range(2)]
        with HairpinUplink() as one, HairpinUplink() as other:
            neighbour = VnifPair(dom0.hypervisor, guests[0].hypervisor, one)
            bad = VnifPair(
                dom0.hypervisor, guests[1].hypervisor, other, xenstore=neighbour.xenstore
            )
            async with asyncio.timeout(60), neighbour, bad:
                ref = int(await bad.toolstack.read(f"{bad.config.frontend_path}/{ring}"))
                for offset, data in written.items():
                    dom0.hypervisor.copy_to_grant(guests[1].domid, ref, offset, data)
                for _ in range(100):
                    for queue in bad.frontend.queues:
                        for port in {queue.port, queue.second_port} - {0}:
                            bad.frontend.channels.notify(port)
                    await asyncio.sleep(0)
                await bad.wait(lambda: bad.backend.last_error)
                assert bad.backend.peer_errors == 1
                await bad.backend.wait_for(XenbusState.CLOSING, XenbusState.CLOSED)
                await neighbour.frontend.send([frame(1)])
                assert [each.data for each in await neighbour.frontend.receive()] == [frame(1)]
                assert neighbour.backend.peer_errors == 0

    with caplog.at_level(logging.WARNING, "pvdrivers.xenbus"), Machine() as machine:
        asyncio.run(main(machine))
    (said,) = [each.getMessage() for each in caplog.records if "/backend/" in each.getMessage()]
    assert says in said


def test_xsa_403() -> None:
    """A backend sees no bytes of the guest but those of packets: pages that held other things are
    granted empty."""
    secret = b"\xa5\x5a\xc3\x3c"

    async def main(machine: Machine) -> None:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        used = guest.hypervisor.allocate_pages(1024)
        used.view[:] = secret * (len(used.view) // len(secret))
        guest.hypervisor.free_pages(used)
        with HairpinUplink() as uplink:
            pair = VnifPair(dom0.hypervisor, guest.hypervisor, uplink, trusted=False)
            async with asyncio.timeout(60), pair:
                await pair.frontend.send([frame(number) for number in range(300)])
                await pair.frontend.flush()
                seen = 0
                for ref in range(8, 1024):
                    try:
                        page = dom0.hypervisor.copy_from_grant(guest.domid, ref, 0, 4096)
                    except HypervisorError:
                        continue
                    seen += 1
                    assert secret not in page, ref
                assert seen >= 512

    with Machine() as machine:
        asyncio.run(main(machine))


@pytest.mark.parametrize("state", [*XenbusState][1:], ids=lambda state: state.name)
def test_xsa_465(state: XenbusState) -> None:
    """A frontend that writes any state before it has a ring, and a device that is removed then, end
    that device alone."""

    async def main(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True)
        guests = [machine.create_domain() for _ in range(2)]
        with HairpinUplink() as one, HairpinUplink() as other:
            neighbour = VnifPair(dom0.hypervisor, guests[0].hypervisor, one)
            odd = VnifPair(
                dom0.hypervisor,
                guests[1].hypervisor,
                other,
                features=FrontendFeatures(),
                xenstore=neighbour.xenstore,
                connect=False,
            )
            async with asyncio.timeout(60), neighbour, odd:
                odd.backend.start()
                await odd.backend.wait_for(XenbusState.INIT_WAIT)
                await odd.toolstack.write(f"{odd.config.frontend_path}/state", str(int(state)))
                await neighbour.frontend.send([frame(1)])
                assert [each.data for each in await neighbour.frontend.receive()] == [frame(1)]
                await odd.unplug_forced()
                await odd.wait(lambda: odd.backend.is_gone)

    with Machine() as machine:
        asyncio.run(main(machine))
