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
from pvdrivers.sim.ia64.firmware_maps import HP_ZX1
from pvdrivers.testing.loopback import Loopback
from pvdrivers.testing.scsi.byte_unit import READ, WRITE, ByteUnit, cdb
from pvdrivers.testing.scsi.loopback import ScsiLoopback
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.loopback import VnifLoopback

MIB = 1 << 20
LUN = ScsiAddress(0, 0, 0, 0)
GUESTS = (Abi.IA64, Abi.X86_64, Abi.X86_32)  # beside the first, which is an ia64 guest too


class OnItanium(Loopback):
    """The kit on a machine with an HP zx1's memory."""

    dom0_abi = Abi.IA64

    def make_machine(self, virtual_time: bool, cpus: int) -> Machine:
        return machine_with(HP_ZX1, virtual_time=virtual_time, cpus=cpus)


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
        assert in_memory(loopback.machine)


def in_memory(machine: Machine) -> bool:
    """Whether every page of every domain lies where the machine has memory."""
    pieces = [range(extent.start, extent.start + extent.size) for extent in usable_memory(HP_ZX1)]
    for domid in range(5):
        domain = machine.domain(domid)
        mfns = [domain.gfn_to_mfn(gfn) for gfn in range(16, 40)]
        if not all(any(mfn << 12 in piece for piece in pieces) for mfn in mfns):
            return False
    return True
