"""What a guest asks for its vcpus, in virtual time."""

import errno
import random
from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, DomainState, Machine, MachineError, ShutdownReason
from pvdrivers.sim.scheduler import RunState
from tests.pvdrivers.sim.error_of import error_of

MS = 1_000_000
S = 1_000 * MS
VIRQ_TIMER = 0
VCPU_OP, SCHED_OP = 24, 29


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("64M", max_domains=4, virtual_time=True, cpus=1) as made:
        yield made


class Timer:
    """The VIRQ_TIMER of a vcpu, taken by its guest."""

    def __init__(self, domain: Domain, vcpu: int = 0) -> None:
        port = ffi.new("evtchn_port_t *")
        machine, domid = domain.machine.cdata, domain.domid
        assert lib.pv_evtchn_op_bind_virq(machine, domid, VIRQ_TIMER, vcpu, port) == 0
        self.port = int(port[0])
        self._view = ffi.new("struct pv_event_view *")
        assert lib.pv_machine_event_view(machine, domid, vcpu, ffi.NULL, self._view) == 0
        self._ports = ffi.new("evtchn_port_t[]", 128)

    def take(self) -> bool:
        lib.pv_event_scan(self._view, self._ports, 128)
        return bool(lib.pv_event_clear_pending(self._view, self.port))


def test_a_domain_pays_for_its_calls(machine: Machine) -> None:
    guest, other = (machine.create_domain(memory="1M", vcpus=2) for _ in range(2))
    vcpu = guest.vcpu(1)
    vcpu.set_singleshot_timer(MS)
    vcpu.stop_singleshot_timer()
    vcpu.register_info(20)
    vcpu.down()
    vcpu.up()
    assert vcpu.is_up  # others look by that too
    assert error_of(guest.vcpu(5).up) == errno.ENOENT
    vcpu.yield_()
    vcpu.poll([], timeout=2 * MS)
    guest.set_shutdown_code(ShutdownReason.REBOOT)
    assert (guest.accounts["vcpu_op"], guest.accounts["sched_op"]) == (6, 3)
    assert (other.accounts["vcpu_op"], other.accounts["sched_op"]) == (0, 0)


# ---- Up and down -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("abi", "size"), [(Abi.X86_64, 5168), (Abi.X86_32, 2800), (Abi.IA64, 22208)]
)
def test_a_kernel_brings_its_vcpus_up(machine: Machine, abi: Abi, size: int) -> None:
    domain = machine.create_domain(memory="1M", abi=abi, vcpus=2, online_vcpus=1)
    first, second = domain.vcpu(0), domain.vcpu(1)
    assert first.is_up
    assert not second.is_up
    assert error_of(second.up) == errno.EINVAL
    assert error_of(lambda: second.context) == errno.ENODATA
    with pytest.raises(UsageError, match=f"{size} bytes, not 1"):
        second.initialise(b"x")
    context = random.Random(1).randbytes(size)
    second.initialise(context)
    assert second.context == context
    assert not second.is_up
    assert error_of(second.initialise, context) == errno.EEXIST
    assert error_of(first.initialise, context) == errno.EEXIST
    second.up()
    assert second.is_up


def test_a_vcpu_needs_a_vcpu_info_that_its_guest_sees(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", vcpus=33, online_vcpus=1)
    context = bytes(5168)
    assert error_of(domain.vcpu(32).initialise, context) == errno.EINVAL
    domain.vcpu(31).initialise(context)
    domain.vcpu(32).register_info(20)
    domain.vcpu(32).initialise(context)


def test_a_domain_powers_off_with_its_last_vcpu(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", vcpus=2)
    domain.vcpu(0).down()
    assert domain.info.state is DomainState.RUNNING
    domain.vcpu(1).down()
    assert domain.info.state is DomainState.SHUTDOWN
    assert domain.info.shutdown_reason is ShutdownReason.POWEROFF


def test_a_vcpu_that_is_down_runs_no_more(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", vcpus=2)
    machine.scheduler.demand(0, 1, 10 * MS)
    machine.scheduler.run(4 * MS)
    domain.vcpu(1).down()
    machine.scheduler.run(8 * MS)
    assert machine.scheduler.run_state(0, 1).state is RunState.OFFLINE
    assert machine.scheduler.run_state(0, 1).running == 4 * MS
    domain.vcpu(1).up()
    assert [done.time for done in machine.scheduler.run(S)] == [14 * MS]


# ---- Timers ------------------------------------------------------------------------------------


def test_a_timer_expires_once_when_time_has_come(machine: Machine) -> None:
    vcpu = machine.create_domain(memory="1M").vcpu(0)
    timer = Timer(vcpu.domain)
    vcpu.set_singleshot_timer(5 * MS)
    machine.advance(5 * MS - 1)
    assert not timer.take()
    machine.advance(1)
    assert timer.take()
    machine.advance(S)
    assert not timer.take()
    vcpu.set_singleshot_timer(2 * S)
    vcpu.stop_singleshot_timer()
    machine.advance(2 * S)
    assert not timer.take()


def test_a_timer_in_the_past(machine: Machine) -> None:
    vcpu = machine.create_domain(memory="1M").vcpu(0)
    timer = Timer(vcpu.domain)
    machine.advance(S)
    with pytest.raises(MachineError) as refused:
        vcpu.set_singleshot_timer(S - 1, future=True)
    assert refused.value.errno == errno.ETIME
    assert not timer.take()
    vcpu.set_singleshot_timer(0)
    assert timer.take()


def test_ticks_come_while_the_vcpu_is_not_blocked(machine: Machine) -> None:
    vcpu = machine.create_domain(memory="1M").vcpu(0)
    timer = Timer(vcpu.domain)
    assert error_of(vcpu.set_periodic_timer, MS - 1) == errno.EINVAL
    vcpu.set_periodic_timer(10 * MS)
    for _ in range(3):
        machine.advance(10 * MS)
        assert timer.take()
    vcpu.block()
    machine.advance(S)
    assert vcpu.is_blocked
    assert not timer.take()
    vcpu.set_singleshot_timer(machine.now)
    assert not vcpu.is_blocked
    assert timer.take()
    machine.advance(10 * MS)
    assert timer.take()
    vcpu.stop_periodic_timer()
    machine.advance(S)
    assert not timer.take()


def test_another_vcpus_timer_is_its_own(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", vcpus=2)
    timers = [Timer(domain, 0), Timer(domain, 1)]
    domain.vcpu(1).set_singleshot_timer(MS)
    machine.advance(MS)
    assert [timer.take() for timer in timers] == [False, True]
    call, argument = (
        lib.pv_vcpu_op_set_singleshot_timer,
        ffi.new("struct vcpu_set_singleshot_timer *"),
    )
    assert call(machine.cdata, 0, 0, 1, argument) == -errno.EINVAL


# ---- Blocking ----------------------------------------------------------------------------------


def test_a_vcpu_that_blocks_gets_the_rest_when_an_event_comes(machine: Machine) -> None:
    vcpu = machine.create_domain(memory="1M").vcpu(0)
    Timer(vcpu.domain)
    scheduler = machine.scheduler
    scheduler.demand(0, 0, 10 * MS)
    scheduler.run(4 * MS)
    vcpu.set_singleshot_timer(20 * MS)
    vcpu.block()
    assert vcpu.is_blocked
    assert scheduler.run_state(0, 0).state is RunState.BLOCKED
    assert [done.time for done in scheduler.run(S)] == [26 * MS]
    state = scheduler.run_state(0, 0)
    assert (state.running, state.blocked) == (10 * MS, 16 * MS)
    vcpu.block()  # the event that woke it is still there
    assert not vcpu.is_blocked


def test_a_poll_ends_by_its_port_or_its_timeout(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", vcpus=2)
    timer, vcpu = Timer(domain, 1), domain.vcpu(0)
    vcpu.poll([timer.port], timeout=5 * MS)
    machine.advance(4 * MS)
    assert vcpu.is_blocked
    machine.advance(MS)
    assert not vcpu.is_blocked
    vcpu.poll([timer.port])
    machine.advance(S)
    assert vcpu.is_blocked
    domain.vcpu(1).set_singleshot_timer(0)
    assert not vcpu.is_blocked
    vcpu.poll([timer.port])  # it is pending already
    assert not vcpu.is_blocked
    assert error_of(vcpu.poll, [0]) == errno.EINVAL
    assert error_of(vcpu.poll, [timer.port] * 129) == errno.EINVAL


def test_a_vcpu_that_yields_goes_behind_its_equals(machine: Machine) -> None:
    for _ in range(2):
        machine.create_domain(memory="1M")
    scheduler = machine.scheduler
    for domid in range(2):
        scheduler.demand(domid, 0, 20 * MS)
    scheduler.run(MS // 2)  # less than the ratelimit
    runs = next(d for d in range(2) if scheduler.run_state(d, 0).state is RunState.RUNNING)
    machine.domain(runs).vcpu(0).yield_()
    assert scheduler.run_state(runs, 0).state is RunState.RUNNABLE
    assert scheduler.run_state(1 - runs, 0).state is RunState.RUNNING


# ---- The end -----------------------------------------------------------------------------------


def test_a_watchdog_that_is_not_fed_shuts_the_domain_down(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    assert [domain.watchdog(5), domain.watchdog(6)] == [1, 2]
    assert error_of(domain.watchdog, 5) == errno.ENOSPC
    assert error_of(domain.watchdog, 5, 3) == errno.EINVAL
    domain.watchdog(0, 1)
    assert error_of(domain.watchdog, 0, 1) == errno.EINVAL
    machine.advance(5 * S)
    domain.watchdog(6, 2)
    machine.advance(6 * S - 1)
    assert domain.info.state is DomainState.RUNNING
    machine.advance(1)
    assert domain.info.state is DomainState.SHUTDOWN
    assert domain.info.shutdown_reason is ShutdownReason.WATCHDOG


def test_the_first_shutdown_code_counts(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    domain.set_shutdown_code(ShutdownReason.CRASH)
    domain.set_shutdown_code(ShutdownReason.REBOOT)
    domain.shutdown(ShutdownReason.POWEROFF)
    assert domain.info.state is DomainState.CRASHED
    domain.destroy()
    again = machine.create_domain(memory="1M", domid=domain.domid)
    again.shutdown(ShutdownReason.REBOOT)
    assert again.info.shutdown_reason is ShutdownReason.REBOOT


def test_timers_end_with_their_domain(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M")
    domain.watchdog(1)
    domain.vcpu(0).set_periodic_timer(MS)
    domain.destroy()
    again = machine.create_domain(memory="1M", domid=domain.domid)
    timer = Timer(again)
    machine.advance(10 * S)
    assert again.info.state is DomainState.RUNNING
    assert not timer.take()


# ---- Any argument ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_random_arguments_leave_the_machine_as_it_was(seed: int) -> None:
    """Every operation of both hypercalls, by number, from two domains of all ABIs."""
    rng = random.Random(seed)
    with Machine("64M", max_domains=4, virtual_time=True, cpus=rng.randrange(3)) as machine:
        argument = ffi.new("uint64_t[]", 4096)
        address = int(ffi.cast("uintptr_t", argument))
        numbers = [0, 1, 2, 3, 31, 64, MS, S, (1 << 32) - 1, (1 << 63), (1 << 64) - 1]
        for _ in range(3000):
            for domid in range(2):
                if lib.pv_domain_info(machine.cdata, domid, ffi.new("struct pv_domain_info *")):
                    abi = Abi(rng.randrange(3))
                    machine.create_domain(
                        memory="1M", domid=domid, vcpus=4, abi=abi, online_vcpus=2
                    )
                elif rng.random() < 0.01:
                    machine.domain(domid).destroy()
            for word in range(4):
                argument[word] = rng.choice(numbers)
            if rng.random() < 0.5:
                argument[0] = address + 512  # ports of a poll, or nothing
            where = rng.choice([address, address, address, 0, 8])
            caller, cmd, vcpu = (
                rng.randrange(3),
                rng.randrange(16),
                rng.choice([0, 1, 3, 4, 1 << 31]),
            )
            arguments = [cmd, vcpu, where, 0, 0] if rng.random() < 0.6 else [cmd, where, 0, 0, 0]
            op = VCPU_OP if arguments[2] else SCHED_OP
            result = lib.pv_hypercall(machine.cdata, caller, op, arguments)
            assert result >= 0 or -result in errno.errorcode
            machine.advance(rng.randrange(10 * MS))
        for domid in range(2):
            machine.domain(domid).destroy()
        assert machine.free_memory == machine.total_memory
