"""Debian's own xl in the life of a guest that answers it; what it does is what the machine has."""

import asyncio
import threading
from contextlib import suppress

import pytest

from pvdrivers.frontends.control import ShutdownRequest, follow_vcpus, shutdown_request
from pvdrivers.sim import Domain, DomainState, Machine, MachineError, ShutdownReason
from pvdrivers.toolstack.devices import create_domain_directory
from pvdrivers.toolstack.domain_builder import build, introduce, register
from pvdrivers.toolstack.xenstore_rings import GuestRings, GuestXenstore
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from tests.until import wait_until

from .conftest import XEN, World, in_thread, with_mounts

XL = XEN / "xl"
VCPUS = 4
REASONS = {
    ShutdownRequest.POWEROFF: ShutdownReason.POWEROFF,
    ShutdownRequest.REBOOT: ShutdownReason.REBOOT,
}
pytestmark = pytest.mark.skipif(not XL.exists(), reason="needs xl (Debian package xen-utils-4.17)")


async def guest_kernel(client: XenstoreClient, guest: Domain) -> None:
    """What a guest does for its toolstack."""

    def set_online(vcpu: int, online: bool) -> None:
        (guest.vcpu(vcpu).up if online else guest.vcpu(vcpu).down)()

    vcpus = asyncio.create_task(follow_vcpus(client, VCPUS, set_online))
    with suppress(OSError):
        guest.shutdown(REASONS[await shutdown_request(client)])
    vcpus.cancel()
    await asyncio.gather(vcpus, return_exceptions=True)


async def host(world: World, guest: Domain, ready: threading.Event, end: asyncio.Event) -> None:
    """The xenstore and what runs in the guest."""
    store = XenStore()
    rings = GuestRings(store, world.machine)
    toolstack = XenstoreClient.in_process(store)
    async with SocketServer(store, str(world.folder / "xenstored")):
        await register(toolstack, world.dom0, "Domain-0")
        await create_domain_directory(toolstack, guest.domid)
        await register(toolstack, guest, "web")
        await introduce(toolstack, guest, build(guest))
        xenstore = GuestXenstore(guest.hypervisor)
        kernel = asyncio.create_task(guest_kernel(xenstore.client, guest))
        ready.set()
        await end.wait()
        kernel.cancel()
        await asyncio.wait([kernel])
        xenstore.close()
        rings.close()
        toolstack.close()


@pytest.fixture
def world(tmp_path):
    with Machine("128M", cpus=VCPUS) as machine:
        machine.serve(tmp_path / "machine")
        yield World(machine, tmp_path)


@pytest.fixture
def guest(world):
    """Domain 2, "web", and what runs in it."""
    made = world.machine.create_domain(memory="16M", vcpus=VCPUS)
    with in_thread(lambda ready, end: host(world, made, ready, end)):
        yield made


@pytest.fixture
def xl(world, guest):
    """Runs xl in domain 0."""
    return lambda *arguments: world.run(0, XL, *arguments)


def state(guest: Domain) -> DomainState:
    try:
        return guest.info.state
    except MachineError:
        return DomainState.ABSENT


def test_names_and_numbers(xl, guest):
    assert xl("domid", "web") == "2\n"
    assert xl("domname", "2") == "web\n"
    assert [line.split() for line in xl("vm-list").splitlines()[1:]][-1] == [
        str(guest.uuid),
        "2",
        "web",
    ]


def test_uuids(world, xl, guest):
    listed = {line.split()[1]: line.split() for line in xl("list", "-v").splitlines()[1:]}
    for domid in range(3):
        assert str(world.machine.domain(domid).uuid) in listed[str(domid)]


def test_rename(world, xl, guest):
    xl("rename", "web", "mail")
    assert xl("domid", "mail") == "2\n"
    assert world.run(0, "xenstore-read", f"/vm/{guest.uuid}/name") == "mail\n"


def test_uptime(xl, guest):
    assert xl("uptime", "web").splitlines()[1].split()[:2] == ["web", "2"]


def test_shutdown_is_answered(xl, guest):
    xl("shutdown", "-w", "web")
    assert state(guest) is DomainState.SHUTDOWN
    assert guest.info.shutdown_reason is ShutdownReason.POWEROFF
    assert "---s--" in xl("list", "web")


def test_reboot(xl, guest):
    xl("reboot", "web")
    wait_until(lambda: state(guest) is DomainState.SHUTDOWN)
    assert guest.info.shutdown_reason is ShutdownReason.REBOOT


# Where xl keeps its locks and what it knows of domains beside xenstore.
STATE = "mount -t tmpfs none /run; mkdir /run/xen"


def test_destroy(world, xl, guest):
    free = world.machine.free_memory
    world.run(0, *with_mounts(STATE), XL, "destroy", "web")
    wait_until(lambda: state(guest) in (DomainState.ABSENT, DomainState.DYING))
    assert "/local/domain/2" not in world.run(0, "xenstore-ls", "-f", "/")
    assert world.machine.free_memory > free


def test_vcpu_set(xl, guest):
    def online() -> list[bool]:
        return [guest.vcpu(vcpu).is_up for vcpu in range(VCPUS)]

    xl("vcpu-set", "web", "1")
    wait_until(lambda: online() == [True, False, False, False])
    xl("vcpu-set", "web", "3")
    wait_until(lambda: online() == [True, True, True, False])
    listed = [line.split() for line in xl("vcpu-list", "web").splitlines()[1:]]
    assert [words[4] == "--p" for words in listed] == [False, False, False, True]


def test_pause_is_counted(xl, guest):
    xl("pause", "web")
    guest.pause()
    xl("unpause", "web")
    assert "--p---" in xl("list", "web")
    guest.unpause()
    assert guest.info.state is DomainState.RUNNING
