"""A guest learns what its vcpus do: by VCPUOP_get_runstate_info, and in its own memory."""

import errno
from collections.abc import Iterator

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Domain, Machine, MachineError
from pvdrivers.sim.scheduler import FOR_EVER, RunState
from pvdrivers.sim.vcpu import RunStateInfo

MS = 1_000_000
S = 1_000 * MS
RUNNING, RUNNABLE, BLOCKED, OFFLINE = RunState


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("64M", max_domains=4, virtual_time=True, cpus=1) as made:
        yield made


class Area:
    """Where a guest reads its vcpu's runstate, as its kernel sees it."""

    def __init__(self, domain: Domain, address: int, vcpu: int = 0) -> None:
        self.abi, size = domain.info.abi, domain.info.page_size
        gfn, self._offset = divmod(address, size)
        self._pages = domain.machine.open_hypervisor(domain.domid).map_foreign(
            domain.domid, [gfn, gfn + 1]
        )
        domain.vcpu(vcpu).register_runstate_area(address)

    @property
    def bytes(self) -> bytes:
        size = RunStateInfo.size(self.abi)
        return bytes(self._pages.view[self._offset : self._offset + size])

    def read(self) -> RunStateInfo:
        return RunStateInfo.unpack(self.bytes, self.abi)


def test_a_guest_asks_what_its_vcpu_does(machine: Machine) -> None:
    vcpu = machine.create_domain(memory="1M").vcpu(0)
    assert vcpu.runstate == RunStateInfo(BLOCKED, 0, 0, 0, 0, 0)
    machine.advance(MS)
    machine.scheduler.demand(0, 0, 10 * MS)
    machine.scheduler.run(5 * MS)
    assert vcpu.runstate == RunStateInfo(RUNNING, MS, 4 * MS, 0, MS, 0)


@pytest.mark.parametrize("abi", Abi)
def test_the_area_has_every_change(machine: Machine, abi: Abi) -> None:
    domain = machine.create_domain(memory="1M", abi=abi)
    area = Area(domain, 0x5000)
    assert area.read() == RunStateInfo(BLOCKED, 0, 0, 0, 0, 0)
    machine.scheduler.demand(0, 0, 10 * MS)
    assert area.read() == RunStateInfo(RUNNING, 0, 0, 0, 0, 0)
    machine.scheduler.run(4 * MS)
    domain.pause()
    assert area.read() == RunStateInfo(OFFLINE, 4 * MS, 4 * MS, 0, 0, 0)
    machine.advance(MS)
    domain.unpause()
    assert area.read() == RunStateInfo(RUNNING, 5 * MS, 4 * MS, 0, 0, MS)
    assert machine.scheduler.run(S)[0].time == 11 * MS
    machine.scheduler.run(S)
    assert area.read() == RunStateInfo(BLOCKED, 11 * MS, 10 * MS, 0, 0, MS)


def test_a_guest_reads_how_much_was_stolen(machine: Machine) -> None:
    """Two guests that compute share one CPU."""
    areas = [Area(machine.create_domain(memory="1M"), 0x3000) for _ in range(2)]
    for domid in range(2):
        machine.scheduler.demand(domid, 0, FOR_EVER)
    machine.scheduler.run(S)
    for domid, area in enumerate(areas):
        read, state = area.read(), machine.scheduler.run_state(domid, 0)
        since = {read.state: machine.now - read.entered}
        assert read.running + since.get(RUNNING, 0) == state.running
        assert read.steal + since.get(RUNNABLE, 0) == state.runnable
    steal = sum(machine.domain(domid).vcpu(0).runstate.steal for domid in range(2))
    assert steal == S


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.IA64])
def test_an_area_may_cross_pages(machine: Machine, abi: Abi) -> None:
    domain = machine.create_domain(memory="1M", abi=abi)
    size = domain.info.page_size
    area = Area(domain, 4 * size - 20)
    machine.scheduler.demand(0, 0, MS)
    machine.scheduler.run(S)
    machine.scheduler.run(S)
    assert area.read() == RunStateInfo(BLOCKED, MS, MS, 0, 0, 0)


def test_a_part_without_a_page_is_not_written(machine: Machine) -> None:
    """As by copy_to_guest: what is before that page is."""
    domain = machine.create_domain(memory="1M")
    last = 256 * 4096 - 24
    view = domain.machine.open_hypervisor(0)
    page = view.map_foreign(0, [255])
    domain.vcpu(0).register_runstate_area(last)
    machine.scheduler.demand(0, 0, MS)
    machine.scheduler.run(S)
    machine.scheduler.run(2 * S)
    whole = bytes(page.view[-24:]) + bytes(24)
    assert RunStateInfo.unpack(whole, Abi.X86_64) == RunStateInfo(BLOCKED, MS, MS, 0, 0, 0)
    domain.vcpu(0).register_runstate_area(1 << 40)  # no page at all
    machine.scheduler.demand(0, 0, MS)
    assert domain.vcpu(0).runstate.state is RUNNING


def test_another_area_replaces_the_first(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    first = Area(domain, 0x3000)
    second = Area(domain, 0x4000)
    before = first.bytes
    machine.scheduler.demand(0, 0, MS)
    assert (first.bytes, second.read().state) == (before, RUNNING)
    domain.vcpu(0).register_runstate_area(0)
    before = second.bytes
    machine.scheduler.run(S)
    machine.scheduler.run(S)
    assert second.bytes == before


def test_a_page_that_the_guest_gives_back_is_freed_with_the_area(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    free = machine.free_memory
    domain.vcpu(0).register_runstate_area(0x3010)
    assert domain.reservation.decrease([3]) == 1
    machine.scheduler.demand(0, 0, MS)  # written to nobody's page
    assert machine.free_memory == free
    domain.vcpu(0).register_runstate_area(0x5000)
    assert machine.free_memory == free + 4096
    domain.destroy()
    assert machine.free_memory == machine.total_memory


def test_a_bad_address_or_vcpu(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    for call, error in (
        (lambda: domain.vcpu(0).register_runstate_area(1 << 50), errno.EFAULT),
        (lambda: domain.vcpu(1).register_runstate_area(0x3000), errno.ENOENT),
        (lambda: domain.vcpu(1).runstate, errno.ENOENT),
    ):
        with pytest.raises(MachineError) as refused:
            call()
        assert refused.value.errno == error
    with Machine(virtual_time=True) as without_cpus:
        vcpu = without_cpus.create_domain().vcpu(0)
        with pytest.raises(MachineError) as refused:
            vcpu.register_runstate_area(0x3000)
        assert refused.value.errno == errno.ENODEV


def test_in_real_time_a_vcpu_runs_while_it_may() -> None:
    with Machine(cpus=2) as machine:
        domain = machine.create_domain(memory="1M", vcpus=2)
        area = Area(domain, 0x3000, vcpu=1)
        made = machine.now
        state = domain.vcpu(1).runstate
        assert state.state is area.read().state is RUNNING
        assert state.running >= area.read().running
        domain.vcpu(1).down()
        read = area.read()
        assert read.state is OFFLINE
        assert made <= read.entered <= machine.now
        domain.vcpu(1).up()
        assert area.read().state is RUNNING
        domain.pause()
        assert area.read().state is OFFLINE
