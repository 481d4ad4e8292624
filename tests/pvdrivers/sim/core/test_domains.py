"""The life of a domain: created, paused, shut down, crashed, destroyed; a domid used again."""

import errno

import pytest

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
        with pytest.raises(MachineError) as refused:
            domain.unpause()
        assert refused.value.errno == errno.EINVAL
        domain.destroy()
        assert repr(domain) == f"<Domain {domain.domid} absent>"
        with pytest.raises(MachineError) as gone:
            domain.destroy()
        assert gone.value.errno == errno.ESRCH


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
