"""Domains as a toolstack makes, finds, renames and destroys them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import DomainState, Machine, MachineError
from pvdrivers.toolstack.domain_builder import read_start_info
from pvdrivers.toolstack.domains import (
    create_domain,
    destroy_domain,
    devices_of,
    domain_names,
    rename_domain,
    wait_for_backends,
)
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.toolstack.xl_config.disk import DiskSpec
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.toolstack.xl_config.vif import VifSpec
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient

WEB = DomainSpec(
    "web",
    uuid=UUID("00112233-4455-6677-8899-aabbccddeeff"),
    memory=8,
    maxmem=16,
    vcpus=1,
    maxvcpus=2,
    disks=(DiskSpec("/images/web.img", "xvda"),),
    vifs=(VifSpec(0),),
)


@asynccontextmanager
async def toolstack() -> AsyncIterator[tuple[Machine, XenstoreClient]]:
    """A machine with dom0, and a client of its xenstore."""
    with Machine("64M", max_domains=8) as machine:
        machine.create_domain(privileged=True, memory="4M")
        store = XenStore()
        rings = GuestRings(store, machine)
        client = XenstoreClient.in_process(store)
        await client.write("/local/domain/0/name", "Domain-0")
        try:
            yield machine, client
        finally:
            client.close()
            rings.close()


def run(scenario: Callable[[Machine, XenstoreClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), toolstack() as (machine, client):
            await scenario(machine, client)

    asyncio.run(main())


def test_a_domain_is_what_its_configuration_says() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        domain = await create_domain(machine, client, WEB, "pvguest idle")
        info = domain.info
        assert info.state is DomainState.PAUSED
        assert (info.pages << 12, info.max_pages << 12) == (8 << 20, 16 << 20)
        assert (info.vcpus, domain.vcpu(0).is_up, domain.vcpu(1).is_up) == (2, True, False)
        assert domain.uuid == WEB.uuid
        start = read_start_info(domain, domain.hypervisor)
        assert start.command_line == "pvguest idle"
        home = f"/local/domain/{domain.domid}"
        expected = {
            "name": "web",
            "vm": f"/vm/{WEB.uuid}",
            "memory/target": "8192",
            "memory/static-max": "16384",
            "cpu/0/availability": "online",
            "cpu/1/availability": "offline",
            "store/port": str(start.store_port),
            "device/vbd/51712/backend": f"/local/domain/0/backend/vbd/{domain.domid}/51712",
            "device/vif/0/state": "1",
        }
        for key, value in expected.items():
            assert await client.read_str(f"{home}/{key}") == value
        assert await client.read_str(f"/vm/{WEB.uuid}/name") == "web"
        devices = await devices_of(client, domain.domid)
        assert [(device.kind, device.devid) for device in devices] == [("vbd", 51712), ("vif", 0)]

    run(scenario)


def test_a_guest_writes_where_xenstore_paths_lets_it() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        domain = await create_domain(machine, client, WEB, "")
        home, owner = f"/local/domain/{domain.domid}", f"n{domain.domid}"
        for path, own in (
            ("", False),
            ("/memory", False),
            ("/cpu", False),
            ("/control", False),
            ("/control/shutdown", True),
            ("/data", True),
            ("/device/vbd/51712", True),
        ):
            permissions = await client.get_permissions(home + path)
            assert (str(permissions[0]) == owner) is own, path
        assert [str(each) for each in await client.get_permissions(f"/libxl/{domain.domid}")] == [
            "n0"
        ]

    run(scenario)


def test_destroyed_nothing_is_left() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        async def everything(path: str) -> list[str]:
            below = [f"{path}/{name}" for name in await client.directory(path or "/")]
            return below + [found for each in below for found in await everything(each)]

        first = await create_domain(machine, client, replace(WEB, disks=(), vifs=()), "")
        await destroy_domain(machine, client, first.domid)
        before, free = await everything(""), machine.free_memory
        domain = await create_domain(machine, client, WEB, "")
        await destroy_domain(machine, client, domain.domid)
        after = await everything("")
        assert [path for path in after if path not in before] == [
            "/local/domain/0/backend",
            "/local/domain/0/backend/vbd",
            "/local/domain/0/backend/vif",
        ]
        assert machine.free_memory == free
        with pytest.raises(MachineError):
            machine.domain(domain.domid)

    run(scenario)


def test_two_domains_have_two_names() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        web = await create_domain(machine, client, WEB, "")
        with pytest.raises(UsageError, match="has the name web already"):
            await create_domain(machine, client, replace(WEB, uuid=None), "")
        mail = await create_domain(machine, client, replace(WEB, name="mail", uuid=None), "")
        with pytest.raises(UsageError, match=f"domain {web.domid} has the name web already"):
            await rename_domain(client, mail.domid, "web")
        await rename_domain(client, mail.domid, "post")
        names = await domain_names(client)
        assert (names[web.domid], names[mail.domid]) == ("web", "post")
        assert await client.read_str(f"/vm/{mail.uuid}/name") == "post"

    run(scenario)


def test_what_cannot_be_created_leaves_nothing() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        free = machine.free_memory
        lost = replace(WEB, vifs=(VifSpec(0, backend="router"),))
        with pytest.raises(UsageError, match="backend=router: there is no domain of this name"):
            await create_domain(machine, client, lost, "")
        with pytest.raises(MachineError):
            await create_domain(machine, client, replace(WEB, memory=80, maxmem=80), "")
        with pytest.raises(UsageError, match="1023 bytes at most"):
            await create_domain(machine, client, WEB, "x" * 1024)
        assert machine.free_memory == free
        assert "web" not in (await domain_names(client)).values()
        assert [domain.domid for domain in machine.domains()] == [0]

    run(scenario)


def test_a_device_without_a_backend_is_told() -> None:
    async def scenario(machine: Machine, client: XenstoreClient) -> None:
        domain = await create_domain(machine, client, WEB, "")
        back = f"/local/domain/0/backend/vbd/{domain.domid}/51712"
        with pytest.raises(UsageError, match=f"no backend has taken {back} up"):
            await wait_for_backends(client, domain.domid, patience=0.01)
        await client.write(f"/local/domain/0/error/backend/vbd/{domain.domid}/51712/error", "2 why")
        await client.write(f"{back}/state", "6")
        with pytest.raises(UsageError, match=f"the backend refuses {back}: 2 why"):
            await wait_for_backends(client, domain.domid)
        await client.write(f"{back}/state", "2")
        await client.write(f"/local/domain/0/backend/vif/{domain.domid}/0/state", "2")
        await wait_for_backends(client, domain.domid)

    run(scenario)
