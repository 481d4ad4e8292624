"""QEMU's own xen_nic backend negotiates with our frontend, and takes what it transmits, on the
drop-in libraries. A backend of 2008: one queue, one event channel, single pages."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pvdrivers._core import lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.qemu import PROGRAM
from pvdrivers.testing.vnif.frames import frame, tcp, udp
from pvdrivers.testing.vnif.qemu import QemuVif
from pvdrivers.vnif.features import FrontendFeatures, Offloads

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"needs {PROGRAM.name} (Debian package qemu-system-xen)"
)

Body = Callable[[QemuVif], Awaitable[None]]


def run(body: Body, *, abi: Abi = Abi.X86_64) -> None:
    """Runs `body` with a vif of QEMU's; nothing of it may be left mapped afterwards."""

    async def main(machine: Machine) -> None:
        guest = machine.create_domain(abi=abi, memory="64M")
        features = FrontendFeatures(max_queues=4, multicast_control=True)
        async with asyncio.timeout(60), QemuVif(machine, guest, features=features) as vif:
            await body(vif)

    with Machine("256M") as machine:
        machine.create_domain(privileged=True)
        asyncio.run(main(machine))
        assert lib.pv_gnttab_handles(machine.cdata, 0) == 0


async def transmit(vif: QemuVif) -> None:
    """More than the ring holds, of all lengths; QEMU answers each packet with OKAY."""
    sent = [frame(number, 60 + 4 * number) for number in range(360)]
    sent += [tcp(bytes(1000), blank=True).data for _ in range(100)]
    for _ in range(5):
        await vif.frontend.send(sent)
    await vif.frontend.flush()
    statistics = vif.frontend.statistics()
    assert statistics["tx_packets"] >= 5 * len(sent)
    assert statistics["tx_errors"] == 0
    assert statistics["violations"] == 0
    assert sum(queue.outstanding for queue in vif.frontend.packet_queues) == 0


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.X86_32])
def test_transmits(abi: Abi) -> None:
    run(transmit, abi=abi)


def test_what_is_agreed() -> None:
    async def body(vif: QemuVif) -> None:
        agreement = vif.frontend.agreement
        assert agreement
        assert agreement.offloads == Offloads()
        assert agreement.queues == 1
        assert not agreement.split_event_channels
        assert not agreement.multicast_control
        assert not agreement.control_ring
        assert not agreement.xdp_headroom

    run(body)


def test_what_it_lacks_is_not_sent() -> None:
    async def body(vif: QemuVif) -> None:
        for packet in (
            frame(1, 9000),
            tcp(bytes(3000), blank=True, segment=1000),
            udp(b"x", version=6, blank=True),
        ):
            with pytest.raises(UsageError):
                await vif.frontend.send([packet])
        await transmit(vif)

    run(body)


def test_blank_checksums_of_ipv4() -> None:
    async def body(vif: QemuVif) -> None:
        await vif.frontend.send([tcp(bytes(1000), blank=True), udp(b"x", blank=True)] * 100)
        await vif.frontend.flush()
        assert vif.frontend.statistics()["tx_errors"] == 0

    run(body)


def test_unplugged_and_plugged_again() -> None:
    async def body(vif: QemuVif) -> None:
        for _ in range(3):
            await transmit(vif)
            assert await vif.unplug()
            await vif.frontend.abort()
            await vif.plug()
        await transmit(vif)

    run(body)


def test_the_frontend_closes_and_opens_again() -> None:
    async def body(vif: QemuVif) -> None:
        for _ in range(3):
            await transmit(vif)
            await vif.frontend.close()
            await vif.open()
        await transmit(vif)

    run(body)


@pytest.mark.parametrize("again", ["resumed", "rebooted"])
def test_a_frontend_starts_over_beside_a_connected_qemu(again: str) -> None:
    async def body(vif: QemuVif) -> None:
        for _ in range(3):
            await transmit(vif)
            if again == "resumed":
                before = vif.frontend.packet_queues
                vif.frontend.resume()
                while vif.frontend.packet_queues in (before, []):  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.001)
            else:
                await vif.frontend.abort()  # no word to the backend
                await vif.open()
        await transmit(vif)

    run(body)
