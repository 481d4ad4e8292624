"""Every device class on an Itanium machine: dom0 and guests of its ABI, x86 guests beside."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.sim import Machine
from pvdrivers.sim.ia64.efi import machine_with, usable_memory
from pvdrivers.sim.ia64.firmware_maps import FIRMWARE_MAPS
from pvdrivers.sim.scheduler import RunState, VcpuRunState
from pvdrivers.sim.vcpu_loop import run_as
from pvdrivers.testing.loopback import Loopback
from pvdrivers.testing.scsi.byte_unit import READ, WRITE, ByteUnit, cdb
from pvdrivers.testing.scsi.loopback import ScsiLoopback
from pvdrivers.testing.shared_cpus import SharedCpus, VcpuShare
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.loopback import VnifLoopback

MIB = 1 << 20
LUN = ScsiAddress(0, 0, 0, 0)
GUESTS = (Abi.IA64, Abi.X86_64, Abi.X86_32)  # beside the first, which is an ia64 guest too


class OnItanium(Loopback):
    """The kit on a machine with an HP zx1's memory, or with that of another map."""

    dom0_abi = Abi.IA64
    map_name = "zx1"

    def make_machine(self, virtual_time: bool, cpus: int) -> Machine:
        return machine_with(FIRMWARE_MAPS[self.map_name], virtual_time=virtual_time, cpus=cpus)


class Disks(OnItanium, VbdLoopback):
    pass


class Networks(OnItanium, VnifLoopback):
    pass


class ScsiHosts(OnItanium, ScsiLoopback):
    pass


async def use_disk(frontend: Any, number: int) -> None:
    """Each guest has a part of the one store, and finds there what it wrote, whatever its pages."""
    await frontend.connected()
    base = number * 512
    writes = {base + sector: bytes([number, sector]) * 8192 for sector in range(0, 256, 32)}
    await asyncio.gather(*(frontend.write(at, data) for at, data in writes.items()))
    for at, data in writes.items():
        assert await frontend.read(at, 32) == data
    assert await frontend.read(base + 500, 1) == bytes(512)


async def use_network(frontend: Any, number: int) -> None:
    await frontend.connected()
    sent = [frame(number * 100 + n, 60 + 97 * n) for n in range(12)]
    sending = asyncio.create_task(frontend.send(sent))
    came: list[bytes] = []
    while len(came) < len(sent):
        came += [packet.data for packet in await frontend.receive()]
    await sending
    assert sorted(came) == sorted(sent)


async def use_lun(frontend: Any, number: int) -> None:
    await frontend.connected()
    for round in range(4):
        data = bytes([number, round]) * 20000  # two pages of ia64, five of x86
        assert (await frontend.execute(LUN, cdb(WRITE, 40000 * number), data)).good
        result = await frontend.execute(LUN, cdb(READ, 40000 * number), room=40000)
        assert result.data == data


CLASSES = {
    "vbd": (partial(Disks, partial(RamStore, MIB)), use_disk),
    "vnif": (partial(Networks, HairpinUplink), use_network),
    "scsi": (partial(ScsiHosts, {"unit": partial(ByteUnit, MIB)}), use_lun),
}


@pytest.mark.parametrize("mode", ["loop", "threads", "deterministic"])
@pytest.mark.parametrize("name", CLASSES)
def test_guests_of_all_abis_share_a_backend_in_an_ia64_dom0(name: str, mode: str) -> None:
    make, use = CLASSES[name]

    async def scenario(first: Any) -> None:
        others = [await loopback.add_guest(abi=abi) for abi in GUESTS]
        frontends = [first, *[await guest.frontend() for guest in others]]
        await asyncio.gather(*(use(frontend, n) for n, frontend in enumerate(frontends)))

    with make(mode=mode, abi=Abi.IA64) as loopback:
        assert loopback.dom0.info.page_size == loopback.guest.info.page_size == 16384
        loopback.run(scenario)
        assert in_memory(loopback.machine, "zx1")


LOWEST = {"altix": "193G"}  # where a dom0 must end, to have memory of a machine that has none lower


@pytest.mark.parametrize("map_name", ["altix", "altix-2t", "primequest", "primequest-2t"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_runs_on_every_named_machine(
    name: str, map_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, use = CLASSES[name]
    monkeypatch.setattr(OnItanium, "map_name", map_name)
    monkeypatch.setattr(OnItanium, "dom0_memory", LOWEST.get(map_name.partition("-")[0], "16M"))

    async def scenario(first: Any) -> None:
        others = [await loopback.add_guest(abi=abi) for abi in GUESTS]
        frontends = [first, *[await guest.frontend() for guest in others]]
        await asyncio.gather(*(use(frontend, n) for n, frontend in enumerate(frontends)))

    with make(mode="deterministic", abi=Abi.IA64) as loopback:
        loopback.run(scenario)
        assert in_memory(loopback.machine, map_name)


@pytest.mark.parametrize("name", CLASSES)
def test_a_driver_runs_on_vcpus_beyond_32(name: str) -> None:
    """The others are down, so all that the frontend does, interrupts too, is on vcpus 33 to 39."""
    make, use = CLASSES[name]

    def state_of(number: int) -> VcpuRunState:
        return loopback.machine.scheduler.run_state(loopback.guest.domid, number)

    def time_on(vcpus: range) -> int:
        return sum(state_of(number).running for number in vcpus)

    async def take_down(vcpus: set[int]) -> None:
        """What a vcpu is at when it goes down would wait until it is up again."""
        while vcpus:
            idle = {number for number in vcpus if state_of(number).state is RunState.BLOCKED}
            for number in idle:
                loopback.guest.vcpu(number).down()
            vcpus -= idle
            await asyncio.sleep(1e-6)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        # By dom0: the vcpu on which the guest itself looks would never be idle.
        await run_as(loopback.dom0, take_down(set(range(33))))
        low, high = time_on(range(33)), time_on(range(33, 40))
        await use(frontend, 0)
        assert time_on(range(33)) == low
        assert time_on(range(33, 40)) > high

    shares = SharedCpus(2, guest=VcpuShare(vcpus=40))
    with make(mode="deterministic", abi=Abi.IA64, cpus=shares) as loopback:
        loopback.run(scenario)


def in_memory(machine: Machine, map_name: str) -> bool:
    """Whether every page of every domain lies where the machine has memory."""
    memory = usable_memory(FIRMWARE_MAPS[map_name])
    pieces = [range(extent.start, extent.start + extent.size) for extent in memory]
    for domid in range(5):
        domain = machine.domain(domid)
        first = domain.reservation.highest_gfn - 24
        mfns = [domain.gfn_to_mfn(gfn) for gfn in range(first, first + 24)]
        if not all(any(mfn << 12 in piece for piece in pieces) for mfn in mfns):
            return False
    return True
