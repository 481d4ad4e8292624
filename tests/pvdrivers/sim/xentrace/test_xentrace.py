"""Records of what CPUs do, in Xen's buffers: their kinds, their sums, and what becomes of those for
which there is no room."""

import errno
import io
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import FOR_EVER, VcpuRunState
from tests.pvdrivers.sim.xentrace.records import (
    KNOWN,
    LOST,
    OF_XEN,
    RUNSTATE_CHANGE,
    WRAP,
    Record,
    parse,
)
from tests.pvdrivers.sim.xentrace.runs import CPUS, MS, VCPUS, create_domains, live, trace

DOMID_IDLE = 0x7FFF
VIRQ_TBUF = 4
Sums = dict[tuple[int, int], list[int]]


def runstate_sums(records: list[Record], now: int) -> Sums:
    """ns in each state, by domid and vcpu, of vcpus that were blocked when it began."""
    sums: Sums = defaultdict(lambda: [0, 0, 0, 0])
    state: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (2, 0))
    for record in sorted(records, key=lambda each: each.time or 0):
        if record.event & 0xFF00F == RUNSTATE_CHANGE:
            old, new = record.event >> 8 & 3, record.event >> 4 & 3
            who = record.extra[0] >> 16, record.extra[0] & 0xFFFF
            assert record.time is not None
            before, since = state[who]
            assert who[0] == DOMID_IDLE or before == old, record
            sums[who][old] += record.time - since
            state[who] = new, record.time
    for who, (last, since) in state.items():
        sums[who][last] += now - since
    return sums


# ---- Kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SchedulerKind)
def test_every_record_is_one_that_xen_writes(kind: SchedulerKind) -> None:
    records = list(parse(trace(kind, seconds=3)))
    for record in records:
        assert record.event in KNOWN, hex(record.event)
        assert KNOWN[record.event] in (None, len(record.extra)), record
        assert record.time is not None or record.event == WRAP
    assert {record.cpu for record in records} == set(range(CPUS))


def test_all_that_a_real_trace_of_credit_has_is_there() -> None:
    assert {record.event for record in parse(trace(seconds=3))} >= OF_XEN.keys()


def test_a_choice_is_told_as_xen_tells_it() -> None:
    """In the order of Xen's sched_context_switch; the CPU's own vcpus are of DOMID_IDLE."""
    with Machine("64M", max_domains=2, virtual_time=True, cpus=1) as machine:
        machine.create_domain(memory="1M")
        machine.xentrace.start(1)
        machine.scheduler.demand(0, 0, MS)
        assert machine.scheduler.run(5 * MS)
        machine.scheduler.run(5 * MS)
        file = io.BytesIO()
        machine.xentrace.save(file)
    vcpu, idle = 0, DOMID_IDLE << 16
    assert [(record.event, record.extra) for record in parse(file.getvalue())] == [
        (0x28004, (0, 0)),  # it wakes
        (0x21211, (vcpu,)),
        (0x22007, (0, 0)),
        (0x22006, (0,)),
        (0x22009, (1 << 24,)),
        (0x2800E, (DOMID_IDLE, 0, 0)),
        (0x2800F, (0, 0, 0, 30 * MS)),
        (0x2800A, (DOMID_IDLE, 0, 0, 0)),
        (0x21011, (idle,)),
        (0x21101, (vcpu,)),
        (0x28006, (0, 0)),  # it blocks
        (0x22009, (0,)),
        (0x2800E, (0, 0, MS)),
        (0x2800F, (DOMID_IDLE, 0, 0, 0xFFFFFFFF)),
        (0x2800A, (0, 0, DOMID_IDLE, 0)),
        (0x21021, (vcpu,)),
        (0x21101, (idle,)),
    ]


# ---- Sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SchedulerKind)
def test_runstates_add_up(kind: SchedulerKind) -> None:
    """To those of the vcpus, but for the ns by which records of one moment differ."""
    states: dict[tuple[int, int], VcpuRunState] = {}
    ends: list[int] = []

    def look(machine: Machine) -> None:
        ends.append(machine.now)
        states.update({who: machine.scheduler.run_state(*who) for who in VCPUS})

    records = list(parse(trace(kind, after=look)))
    sums = runstate_sums(records, ends[0])
    times = sorted(record.time for record in records if record.time)
    assert len(set(times)) == len(times)
    for who, state in states.items():
        changes = sum(
            record.event >> 12 == 0x21 and record.extra == (who[0] << 16 | who[1],)
            for record in records
        )
        expected = state.running, state.runnable, state.blocked, state.offline
        if changes:
            for found, wanted in zip(sums[who], expected, strict=True):
                assert abs(found - wanted) <= 100 * changes  # records of one moment
        else:
            assert state.blocked == ends[0]


def test_a_run_gives_the_same_bytes_each_time() -> None:
    assert trace(seed=3) == trace(seed=3) != trace(seed=4)


# ---- Buffers -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(pages=st.integers(1, 3), seed=st.integers(0, 3), often=st.integers(1, 30))
def test_what_has_no_room_is_counted(pages: int, seed: int, often: int) -> None:
    """Each window is whole records; with those that were lost, they are all of a large buffer's."""
    rng = random.Random(seed * 100 + often)
    small = list(
        parse(trace(seed=seed, pages=pages, seconds=0.5, save=lambda: rng.randrange(often) == 0))
    )
    large = list(parse(trace(seed=seed, seconds=0.5)))
    for cpu in range(CPUS):
        kept = [record for record in small if record.cpu == cpu]
        whole = [record[1:] for record in large if record.cpu == cpu]
        lost = sum(record.extra[0] for record in kept if record.event == LOST)
        told = [record[1:] for record in kept if record.event not in (LOST, WRAP)]
        ahead = iter(whole)
        assert all(record in ahead for record in told)  # in their order
        if kept and kept[-1].event == whole[-1][0] and told[-1] == whole[-1]:
            assert len(told) + lost == len(whole)
        else:
            assert len(told) + lost <= len(whole)  # the last ones are not told as lost yet


def test_a_full_buffer_tells_whose_cpu_it_was_and_since_when() -> None:
    with Machine("64M", max_domains=2, virtual_time=True, cpus=1) as machine:
        machine.create_domain(memory="1M")
        machine.scheduler.demand(0, 0, FOR_EVER)
        machine.xentrace.start(1)
        machine.scheduler.run(5000 * MS)
        file = io.BytesIO()
        machine.xentrace.save(file)
        full = machine.now
        machine.scheduler.run(5100 * MS)
        machine.xentrace.save(file)
    (lost,) = (record for record in parse(file.getvalue()) if record.event == LOST)
    count, who, low, high = lost.extra
    assert count > 0
    assert who == 0
    assert (low | high << 32) < full < (lost.time or 0)


def test_a_buffer_that_is_half_full_raises_virq_tbuf() -> None:
    with Machine("64M", max_domains=2, virtual_time=True, cpus=1) as machine:
        machine.create_domain(memory="1M", privileged=True)
        dom0 = machine.open_hypervisor(0)
        channels = dom0.open_event_channels()
        port = channels.bind_virq(VIRQ_TBUF)
        machine.scheduler.demand(0, 0, FOR_EVER)
        machine.xentrace.start(1)
        machine.scheduler.run(20 * MS)
        assert channels.pending() is None
        machine.scheduler.run(5000 * MS)
        assert channels.pending() == port
        channels.unmask(port)
        machine.scheduler.run(6000 * MS)
        assert channels.pending() is None  # it is as full as before
        machine.xentrace.save(io.BytesIO())
        machine.scheduler.run(11000 * MS)
        assert channels.pending() == port


def test_masks_choose_events_and_cpus() -> None:
    def traced(events: int, cpus: range) -> list[Record]:
        file = io.BytesIO()
        with Machine("64M", max_domains=8, virtual_time=True, cpus=CPUS) as machine:
            machine.xentrace.set_cpus(cpus)
            machine.xentrace.start(64, events=events)
            create_domains(machine)
            live(machine, 200 * MS, 1)
            machine.xentrace.save(file)
        return list(parse(file.getvalue()))

    assert {record.event >> 12 for record in traced(0x21000, range(CPUS))} == {0x21}
    assert {record.event >> 12 for record in traced(0x4F000, range(CPUS))} == {0x41}
    assert {record.cpu for record in traced(0xFFFF000, range(1, 2))} == {1}


def test_a_stopped_trace_records_nothing() -> None:
    with Machine("64M", virtual_time=True, cpus=1) as machine:
        machine.xentrace.start(1)
        machine.xentrace.stop()
        machine.create_domain(memory="1M")
        machine.scheduler.demand(0, 0, MS)
        file = io.BytesIO()
        machine.xentrace.save(file)
        assert not file.getvalue()
        machine.xentrace.start()
        machine.create_domain(memory="1M")
        machine.xentrace.save(file)
        assert [record.event for record in parse(file.getvalue())] == [0x41001, 0x28001]


def test_buffers_are_made_once() -> None:
    with Machine("64M", virtual_time=True, cpus=3) as machine:
        assert lib.pv_xentrace_enable(machine.cdata, True) == -errno.EINVAL
        assert lib.pv_xentrace_set_size(machine.cdata, 0) == -errno.EINVAL
        assert lib.pv_xentrace_set_size(machine.cdata, 5) == 0
        assert lib.pv_xentrace_set_size(machine.cdata, 5) == -errno.EBUSY
        assert lib.pv_xentrace_set_size(machine.cdata, 6) == -errno.EINVAL
        records = ffi.new("uint8_t[]", 5 * 4096)
        assert lib.pv_xentrace_read(machine.cdata, 3, records, 5 * 4096) == -errno.EINVAL
        assert lib.pv_xentrace_read(machine.cdata, 0, records, 4096) == -errno.EINVAL
    with Machine("64M", virtual_time=True, cpus=3) as machine:
        assert lib.pv_xentrace_set_size(machine.cdata, 1 << 30) == 0
        info = ffi.new("struct pv_xentrace_info *")
        assert lib.pv_xentrace_get_info(machine.cdata, info) == 0
        assert info.pages * 3 <= 65535
        assert "reduced to" in machine.console
    with Machine() as machine, pytest.raises(MachineError) as refused:
        machine.xentrace.start()
    assert refused.value.errno == errno.ENODEV


# ---- The pages -----------------------------------------------------------------------------------


def test_privileged_domains_map_them() -> None:
    with Machine("64M", max_domains=4, virtual_time=True, cpus=2) as machine:
        machine.create_domain(memory="1M", privileged=True)
        machine.create_domain(memory="1M")
        dom0, guest = (machine.open_hypervisor(domid) for domid in range(2))
        machine.xentrace.start(2)
        info = ffi.new("struct pv_xentrace_info *")
        lib.pv_xentrace_get_info(machine.cdata, info)
        mfn = info.buffer_mfn
        page = dom0.map_foreign(lib.DOMID_XEN, [mfn], readonly=True)
        words = page.view.cast("I")
        assert page.view.cast("H")[0] == 2
        first, second = page.view.cast("H")[1:3]
        buffers = [words[first], words[first + 1], words[second], words[second + 1]]
        heads = dom0.map_foreign(lib.DOMID_XEN, buffers)
        machine.scheduler.demand(0, 0, MS)
        assert any(heads.view.cast("I")[2048 * buffer + 1] for buffer in range(2))
        for hypervisor, gfn, error in (
            (guest, mfn, errno.EPERM),
            (dom0, mfn + 64 + 4, errno.EFAULT),
            (dom0, mfn - 1, errno.EFAULT),
        ):
            with pytest.raises(HypervisorError) as refused:
                hypervisor.map_foreign(lib.DOMID_XEN, [gfn], readonly=True)
            assert refused.value.errno == error
        with pytest.raises(HypervisorError) as refused:
            dom0.map_foreign(lib.DOMID_XEN, [mfn])  # t_info, to write
        assert refused.value.errno == errno.EFAULT
        dom0.unmap_foreign(lib.DOMID_XEN, heads)


def test_a_consumer_that_writes_nonsense_ends_the_trace_alone() -> None:
    with Machine("64M", max_domains=4, virtual_time=True, cpus=1) as machine:
        machine.create_domain(memory="1M", privileged=True)
        machine.xentrace.start(1)
        info = ffi.new("struct pv_xentrace_info *")
        lib.pv_xentrace_get_info(machine.cdata, info)
        buffer = machine.open_hypervisor(0).map_foreign(lib.DOMID_XEN, [info.buffer_mfn + 64])
        words = buffer.view.cast("I")
        words[1] = 0xFFFFFFFF  # prod is Xen's own, whatever is written there
        machine.scheduler.demand(0, 0, MS)
        assert words[1] < 8176
        words[0] = 3
        machine.scheduler.run(10 * MS)
        machine.scheduler.run(20 * MS)
        assert "trc#0: bogus" in machine.console
        assert machine.scheduler.run_state(0, 0).running == MS
