"""The hypervisor's log: what it says, what is read again, what is overwritten; debug keys."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Machine, MachineError, MemoryExtent, ShutdownReason
from pvdrivers.sim.cpupool import SchedulerKind

MIB = 1 << 20
RING = 65536  # bytes


def read(machine: Machine, count: int, *, clear: bool = False, index: int | None = None) -> bytes:
    """One reading, incremental from `index` if it is given."""
    state = ffi.new("struct pv_console_read *")
    state.clear, state.count = clear, count
    state.incremental, state.index = index is not None, index or 0
    buffer = ffi.new("char[]", count + 1)
    lib.pv_console_read(machine.cdata, state, buffer)
    assert state.count <= count
    return bytes(ffi.unpack(buffer, state.count)) if state.count else b""


def fill(machine: Machine) -> None:
    """More than the ring has room for."""
    machine.debug_keys("h" * 400)


def test_a_machine_says_what_it_is_made_of() -> None:
    extents = [MemoryExtent(0, 16 * MIB), MemoryExtent(1 << 32, 48 * MIB)]
    with Machine(extents, virtual_time=True, cpus=3) as machine:
        assert machine.console.splitlines() == [
            "(XEN) Xen version 4.17.0-pvdrivers",
            "(XEN) Physical RAM map:",
            "(XEN)  [0000000000000000, 0000000000ffffff] (usable)",
            "(XEN)  [0000000100000000, 0000000102ffffff] (usable)",
            "(XEN) System RAM: 64MB (65536kB)",
            "(XEN) Using scheduler: SMP Credit Scheduler (credit)",
            "(XEN) Brought up 3 CPUs",
        ]


def test_the_scheduler_is_that_of_pool_0() -> None:
    with Machine("1M", virtual_time=True, cpus=1, scheduler=SchedulerKind.CREDIT2) as machine:
        assert "(XEN) Using scheduler: SMP Credit Scheduler rev2 (credit2)\n" in machine.console


def test_lives_of_domains() -> None:
    with Machine() as machine:
        before = len(machine.console)
        machine.create_domain(privileged=True, memory="1M")
        machine.create_domain(abi=Abi.IA64, memory="2M", vcpus=4).crash()
        machine.domain(0).shutdown(ShutdownReason.REBOOT)
        machine.domain(1).destroy()
        assert machine.console[before:].splitlines() == [
            "(XEN) d0 created: x86_64, 1024kB, 1 vcpus, privileged",
            "(XEN) d1 created: ia64, 2048kB, 4 vcpus",
            "(XEN) d1 crashed",
            "(XEN) d0 shut down: reboot",
            "(XEN) d1 destroyed",
        ]


def test_a_domain_that_could_not_be_made_is_not_in_the_log() -> None:
    with Machine("1M") as machine:
        before = machine.console
        with pytest.raises(MachineError):
            machine.create_domain(memory="2M")
        assert machine.console == before


def test_the_oldest_lines_are_overwritten() -> None:
    with Machine() as machine:
        fill(machine)
        machine.debug_keys("?")
        text = machine.console
        assert len(text) == RING
        assert text.endswith("(XEN) '?' pressed -> no handler; 'h' lists them\n")
        assert "Physical RAM map" not in text


def test_cleared() -> None:
    with Machine() as machine:
        whole = machine.console.encode()
        assert read(machine, RING, clear=True) == whole
        assert read(machine, RING) == b""
        machine.debug_keys("?")
        assert read(machine, RING) == b"(XEN) '?' pressed -> no handler; 'h' lists them\n"


def test_what_was_not_read_is_not_cleared() -> None:
    with Machine() as machine:
        whole = machine.console.encode()
        assert read(machine, 5, clear=True) == whole[:5]
        assert read(machine, RING) == whole[5:]


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(0, 1 << 32))
def test_incremental_readings_follow_on(sizes: list[int], unknown: int) -> None:
    with Machine("1M") as machine:
        whole = machine.console.encode()
        at = 0
        for size in sizes:
            part = read(machine, size, index=at)
            assert part == whole[at : at + size]
            at += len(part)
        # A position that is no longer, or not yet, there counts as none.
        if unknown > len(whole):
            assert read(machine, RING, index=unknown & 0xFFFFFFFF) == whole or unknown == 1 << 32


def test_a_reader_that_was_overtaken_goes_on_with_the_oldest() -> None:
    with Machine() as machine:
        at = len(read(machine, RING))
        fill(machine)
        assert read(machine, RING, index=at) == machine.console.encode()


def test_debug_keys_print_what_is_there() -> None:
    with Machine(virtual_time=True, cpus=2) as machine:
        dom0, guest = machine.create_domain(memory="1M"), machine.create_domain(memory="1M")
        ours = dom0.hypervisor.open_event_channels()
        port = ours.bind_unbound_port(guest.domid)
        ref = guest.hypervisor.grant_pages(dom0.domid, guest.hypervisor.allocate_pages(1))[0]
        pages = dom0.hypervisor.map_grants(guest.domid, [ref])
        machine.scheduler.demand(guest.domid, 0, 1000)
        before = len(machine.console)
        machine.debug_keys("qreg")
        lines = machine.console[before:].splitlines()
        assert "(XEN) General information for domain 1:" in lines
        assert "(XEN)     nr_pages=256 max_pages=256 page_size=4096" in lines
        assert any(f" {port}: s=unbound v=0 d={guest.domid} " in line for line in lines)
        assert any("run: [1.0]" in line for line in lines)
        assert "(XEN) d1: version 1, 1 of 64 frames, 1 grants in use, 0 maptrack entries" in lines
        assert any(f"    [{ref}] dom {dom0.domid} gfn " in line for line in lines)
        dom0.hypervisor.unmap_grants(pages)


def test_help_lists_every_key_that_has_a_handler() -> None:
    with Machine() as machine:
        machine.debug_keys("h")
        listed = [line[12] for line in machine.console.splitlines() if line[7:11] == "key "]
        assert sorted(listed) == sorted("hqregmat")
        before = len(machine.console)
        machine.debug_keys("".join(listed))
        assert "no handler" not in machine.console[before:]


def test_timers_memory_and_time() -> None:
    extents = [MemoryExtent(0, 8 * MIB, 0), MemoryExtent(1 << 32, 16 * MIB, 1)]
    with Machine(extents, virtual_time=True, cpus=1) as machine:
        guest = machine.create_domain(memory="4M", vcpus=2)
        guest.vcpu(1).set_singleshot_timer(7_000_000)
        guest.watchdog(2)
        machine.advance(1_000_000)
        before = len(machine.console)
        machine.debug_keys("mat")
        first, second = machine.nodes
        assert machine.console[before:].splitlines() == [
            "(XEN) 'm' pressed -> memory info",
            "(XEN) Physical memory information:",
            f"(XEN)     node 0: 8192kB, {first.free >> 10}kB free,"
            f" {first.free_below_4g >> 10}kB of them below 4GB",
            f"(XEN)     node 1: 16384kB, {second.free >> 10}kB free, 0kB of them below 4GB",
            f"(XEN)     all: 24576kB, {machine.free_memory >> 10}kB free",
            "(XEN) 'a' pressed -> dump timers",
            "(XEN)     d0 single-shot timer of vcpu 1: at 7000000 ns",
            "(XEN)     d0 watchdog 1: at 2000000000 ns",
            "(XEN) 't' pressed -> display clock info",
            "(XEN)     virtual time: 1000000 ns",
            "(XEN)     next timer: 7000000 ns",
        ]
        assert first.free + second.free == machine.free_memory == 20 * MIB


# ---- VIRQ_CON_RING ---------------------------------------------------------------------------


def test_a_new_line_raises_a_virq() -> None:
    with Machine() as machine:
        dom0 = machine.create_domain(memory="1M", privileged=True)
        channels = dom0.hypervisor.open_event_channels()
        port = channels.bind_virq(lib.VIRQ_CON_RING)

        def is_raised() -> bool:
            raised = False
            while (found := channels.pending()) is not None:
                assert found == port
                channels.unmask(port)
                raised = True
            return raised

        actions: list[Callable[[], object]] = [
            lambda: machine.debug_keys("h"),
            lambda: machine.debug_keys("q"),
            lambda: machine.create_domain(memory="1M", paused=True),
            lambda: machine.domain(1).crash(),
            lambda: machine.domain(1).destroy(),
        ]
        is_raised()
        for action in actions:
            before = machine.console
            assert not is_raised()
            action()
            assert machine.console != before
            assert is_raised()
        machine.debug_keys("")
        assert not is_raised()


def test_a_virq_that_nobody_has_bound_is_nobodys() -> None:
    with Machine() as machine:
        machine.debug_keys("h")
        dom0 = machine.create_domain(memory="1M", privileged=True)
        channels = dom0.hypervisor.open_event_channels()
        channels.bind_virq(lib.VIRQ_CON_RING)
        assert channels.pending() is None
