"""A guest reaches xenstore over its own ring page, on every ABI and under every seed."""

import asyncio

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop
from pvdrivers.toolstack.domain_builder import build, introduce
from pvdrivers.toolstack.xenstore_rings import GuestRings, GuestXenstore
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.store import XenStore


async def talk(machine: Machine, abi: Abi) -> list[str]:
    dom0 = machine.create_domain(privileged=True, memory="1M")
    guest = machine.create_domain(abi=abi, memory="1M")
    store = XenStore()
    rings = GuestRings(store, machine, dom0.domid)
    control = XenstoreClient.in_process(store)
    info = build(guest)
    home = f"/local/domain/{guest.domid}"
    await control.mkdir(home)
    await control.set_permissions(home, [f"n{guest.domid}"])
    await introduce(control, guest, info)
    xenstore = GuestXenstore(guest.hypervisor)
    client = xenstore.client
    assert await client.get_domain_path(guest.domid) == home
    # More than the ring holds, both ways.
    for index in range(3):
        await client.write(f"{home}/{index}", bytes([65 + index]) * 1900)
    values = [await client.read_str(f"{home}/{index}") for index in range(3)]
    with pytest.raises(XenstoreError):
        await client.write("/local/domain/0/secret", b"no")
    watch = await control.watch(f"{home}/0")
    await anext(watch)
    await client.write(f"{home}/0", b"changed")
    assert await anext(watch) == f"{home}/0"
    xenstore.close()
    rings.close()
    return values


@pytest.mark.parametrize("abi", list(Abi))
def test_guest_reaches_xenstore(abi: Abi) -> None:
    with Machine() as machine:
        assert asyncio.run(talk(machine, abi)) == [c * 1900 for c in "ABC"]


@pytest.mark.parametrize("seed", range(5))
def test_under_every_seed(seed: int) -> None:
    with Machine(virtual_time=True) as machine:
        loop = DeterministicLoop(seed, machine)
        try:
            loop.run_until_complete(talk(machine, Abi.X86_64))
        finally:
            loop.close()


def test_introducing_garbage_is_refused() -> None:
    async def run(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True, memory="1M")
        guest = machine.create_domain(memory="1M")
        store = XenStore()
        rings = GuestRings(store, machine, dom0.domid)
        control = XenstoreClient.in_process(store)
        with pytest.raises(XenstoreError, match="EINVAL"):
            await control.introduce(guest.domid, 1 << 40, 1)
        with pytest.raises(XenstoreError, match="EINVAL"):
            await control.introduce(guest.domid, 1, 999)
        await introduce(control, guest, build(guest))
        rings.close()

    with Machine() as machine:
        asyncio.run(run(machine))


def test_the_store_learns_of_deaths() -> None:
    """VIRQ_DOM_EXC: a shutdown and a death are told by @releaseDomain; the domid starts clean."""

    async def run(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True, memory="1M")
        store = XenStore()
        rings = GuestRings(store, machine, dom0.domid)
        control = XenstoreClient.in_process(store)
        guest = machine.create_domain(memory="1M")
        free = machine.free_memory
        home = f"/local/domain/{guest.domid}"
        await introduce(control, guest, build(guest))
        await control.write(f"{home}/name", "first")
        await control.set_permissions(home, [f"n{guest.domid}"])
        async with await control.watch("@releaseDomain") as watch:
            await anext(watch)
            guest.shutdown()
            await anext(watch)
            assert await control.exists(f"{home}/name")
            guest.destroy()
            await anext(watch)
            assert not await control.exists(home)
        assert not await control.is_domain_introduced(guest.domid)
        assert machine.free_memory == free + (1 << 20)
        rings.close()

    for seed in range(4):
        with Machine(virtual_time=True) as machine:
            loop = DeterministicLoop(seed, machine)
            loop.run_until_complete(run(machine))
            loop.close()


def test_a_domid_reused_before_the_store_looked() -> None:
    async def run(machine: Machine) -> None:
        dom0 = machine.create_domain(privileged=True, memory="1M")
        store = XenStore()
        rings = GuestRings(store, machine, dom0.domid)
        control = XenstoreClient.in_process(store)
        for _ in range(3):
            guest = machine.create_domain(domid=5, memory="1M")
            await introduce(control, guest, build(guest))
            xenstore = GuestXenstore(guest.hypervisor)
            assert await xenstore.client.get_domain_path(5) == "/local/domain/5"
            xenstore.close()
            guest.destroy()
        rings.close()

    with Machine() as machine:
        asyncio.run(run(machine))
