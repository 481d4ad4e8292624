"""The life of a domain: created, paused, shut down, crashed, destroyed; a domid used again."""

import errno
from uuid import UUID

import pytest

from pvdrivers._core import lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import DomainState, Machine, MachineError, ShutdownReason


def test_states() -> None:
    with Machine() as machine:
        domain = machine.create_domain(paused=True)
        assert domain.info.state is DomainState.PAUSED
        domain.unpause()
        assert domain.info.state is DomainState.RUNNING
        domain.pause()
        assert domain.info.state is DomainState.PAUSED
        domain.shutdown(ShutdownReason.REBOOT)
        assert domain.info.state is DomainState.SHUTDOWN
        assert domain.info.shutdown_reason is ShutdownReason.REBOOT
        domain.unpause()
        assert domain.info.state is DomainState.SHUTDOWN
        with pytest.raises(MachineError) as refused:
            domain.unpause()
        assert refused.value.errno == errno.EINVAL
        domain.destroy()
        assert repr(domain) == f"<Domain {domain.domid} absent>"
        with pytest.raises(MachineError) as gone:
            domain.destroy()
        assert gone.value.errno == errno.ESRCH


def test_what_was_paused_twice_is_unpaused_twice() -> None:
    with Machine() as machine:
        domain = machine.create_domain()
        domain.pause()
        domain.pause()
        domain.unpause()
        assert (domain.info.state, domain.info.pause_count) == (DomainState.PAUSED, 1)
        domain.unpause()
        assert (domain.info.state, domain.info.pause_count) == (DomainState.RUNNING, 0)
        for _ in range(255):
            domain.pause()
        with pytest.raises(MachineError) as too_often:
            domain.pause()
        assert too_often.value.errno == errno.EOVERFLOW
        assert domain.info.pause_count == 255


def test_resumed_after_it_has_shut_down() -> None:
    with Machine() as machine:
        domain = machine.create_domain()
        domain.resume()
        assert domain.info.state is DomainState.RUNNING
        domain.set_shutdown_code(ShutdownReason.SUSPEND)
        domain.shutdown(ShutdownReason.POWEROFF)
        assert domain.info.shutdown_reason is ShutdownReason.SUSPEND
        domain.pause()
        assert domain.info.state is DomainState.SHUTDOWN
        domain.resume()
        assert domain.info.state is DomainState.PAUSED
        domain.unpause()
        assert domain.info.state is DomainState.RUNNING
        domain.shutdown(ShutdownReason.REBOOT)
        assert domain.info.shutdown_reason is ShutdownReason.REBOOT
        domain.destroy()
        with pytest.raises(MachineError) as gone:
            domain.resume()
        assert gone.value.errno == errno.ESRCH


def test_uuids() -> None:
    chosen = UUID("12345678-9abc-4def-8012-3456789abcde")
    with Machine() as machine:
        domain = machine.create_domain(memory="1M", uuid=chosen)
        assert domain.uuid == domain.info.uuid == chosen
        others = [machine.create_domain(memory="1M").uuid for _ in range(3)]
        assert len({chosen, *others}) == 4
        domain.uuid = others[0]
        assert machine.domain(0).uuid == others[0]


def test_uuids_in_virtual_time_are_those_of_the_last_run() -> None:
    def run() -> list[UUID]:
        with Machine(virtual_time=True) as machine:
            first = machine.create_domain(memory="1M")
            uuids = [first.uuid, machine.create_domain(memory="1M").uuid]
            first.destroy()
            again = machine.create_domain(memory="1M")
            assert again.domid == first.domid
            return [*uuids, again.uuid]

    uuids = run()
    assert len(set(uuids)) == 3
    assert run() == uuids


def test_who_plays_the_cpus_hears_of_an_unpaused_domain() -> None:
    with Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        channels = dom0.hypervisor.open_event_channels()
        port = channels.bind_virq(lib.PV_VIRQ_UNPAUSED)
        guest = machine.create_domain(paused=True)
        assert channels.pending() is None
        guest.unpause()
        assert channels.pending() == port
        channels.unmask(port)
        guest.pause()
        guest.destroy()
        assert channels.pending() is None


def test_all_domains_are_listed() -> None:
    with Machine(max_domains=8) as machine:
        assert machine.domains() == []
        for domid in (0, 3, 7):
            machine.create_domain(domid=domid, memory="1M")
        machine.domain(3).destroy()
        assert [domain.domid for domain in machine.domains()] == [0, 7]


def test_crash() -> None:
    with Machine() as machine:
        domain = machine.create_domain()
        domain.crash()
        assert domain.info.state is DomainState.CRASHED
        assert domain.info.shutdown_reason is ShutdownReason.CRASH


def test_domids() -> None:
    with Machine(max_domains=4) as machine:
        assert [machine.create_domain(memory="1M").domid for _ in range(3)] == [0, 1, 2]
        with pytest.raises(MachineError) as taken:
            machine.create_domain(domid=1, memory="1M")
        assert taken.value.errno == errno.EEXIST
        with pytest.raises(MachineError) as beyond:
            machine.create_domain(domid=4, memory="1M")
        assert beyond.value.errno == errno.EINVAL
        machine.domain(1).destroy()
        assert machine.create_domain(memory="1M").domid == 1


def test_each_domain_has_its_abis_pages() -> None:
    with Machine() as machine:
        for abi, size in ((Abi.X86_64, 4096), (Abi.X86_32, 4096), (Abi.IA64, 16384)):
            domain = machine.create_domain(abi=abi, memory="1M")
            assert domain.info.page_size == size == domain.hypervisor.page_size
            assert domain.info.abi is abi


def test_pages_mapped_by_a_peer_outlive_their_domain() -> None:
    with Machine("8M") as machine:
        dom0 = machine.create_domain(memory="1M", privileged=True)
        guest = machine.create_domain(memory="1M")
        free = machine.free_memory
        page = guest.hypervisor.allocate_pages(1)
        page.view[:5] = b"alive"
        ref = guest.hypervisor.grant_access(dom0.domid, page.address)
        mapped = dom0.hypervisor.map_grants(guest.domid, [ref])
        guest.destroy()
        assert guest.info.state is DomainState.DYING
        assert machine.free_memory == free + (1 << 20) - 4096
        assert bytes(mapped.view[:5]) == b"alive"
        other = machine.create_domain(memory="1M")
        assert other.domid != guest.domid
        other.destroy()
        dom0.hypervisor.unmap_grants(mapped)
        assert repr(guest) == f"<Domain {guest.domid} absent>"
        assert machine.free_memory == free + (1 << 20)


def test_a_domid_used_again_starts_clean() -> None:
    with Machine("8M", max_domains=2) as machine:
        dom0 = machine.create_domain(memory="1M", privileged=True)
        guest = machine.create_domain(memory="1M")
        page = guest.hypervisor.allocate_pages(1)
        ref = guest.hypervisor.grant_access(dom0.domid, page.address)
        port = guest.hypervisor.open_event_channels().bind_unbound_port(dom0.domid)
        before = guest.info.generation
        guest.destroy()
        again = machine.create_domain(memory="1M")
        assert again.domid == guest.domid
        assert again.info.generation == before + 1
        assert not any(count for name, count in again.accounts.items() if name != "domctl")
        with pytest.raises(OSError, match="gref"):
            dom0.hypervisor.map_grants(again.domid, [ref])
        with pytest.raises(OSError, match="bind_interdomain"):
            dom0.hypervisor.open_event_channels().bind_interdomain(again.domid, port)


@pytest.mark.slow
def test_a_thousand_lives_leave_nothing() -> None:
    with Machine("8M") as machine:
        dom0 = machine.create_domain(memory="1M", privileged=True)
        channels = dom0.hypervisor.open_event_channels()
        free, resident = machine.free_memory, 0
        for life in range(1000):
            guest = machine.create_domain(memory="256K")
            assert guest.domid == 1
            page = guest.hypervisor.allocate_pages(1)
            page.view[0] = 1
            ref = guest.hypervisor.grant_access(0, page.address)
            mapped = dom0.hypervisor.map_grants(1, [ref])
            guest_channels = guest.hypervisor.open_event_channels()
            port = guest_channels.bind_unbound_port(0)
            channels.unbind(channels.bind_interdomain(1, port))
            guest_channels.close()
            dom0.hypervisor.unmap_grants(mapped)
            guest.destroy()
            assert machine.free_memory == free
            if life == 10:
                resident = machine.resident_memory
        assert machine.resident_memory <= resident + (64 << 10)


def test_what_is_closed_says_so() -> None:
    machine = Machine()
    domain = machine.create_domain(memory="1M")
    hypervisor = domain.hypervisor
    channels = hypervisor.open_event_channels()
    channels.close()
    with pytest.raises(UsageError, match="event channel handle is closed"):
        channels.fileno()
    hypervisor.close()
    with pytest.raises(UsageError, match="hypervisor is closed"):
        hypervisor.allocate_pages(1)
    machine.close()
    with pytest.raises(UsageError, match="machine is closed"):
        machine.create_domain()


@pytest.mark.parametrize("wrong", [{"threads_per_core": 0}, {"cores_per_socket": -1}])
def test_a_topology_that_there_is_not(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="a core has 1 thread or more"):
        Machine(**wrong)  # type: ignore[arg-type]
