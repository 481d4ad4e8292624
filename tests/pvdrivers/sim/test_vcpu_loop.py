"""What domains do happens when the scheduler gives them a CPU, and costs what they did."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from pvdrivers.hypervisor import EventChannels
from pvdrivers.sim import Domain, Machine, MachineError
from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.loop import MAX_LATENCY, DeterministicLoop, NothingCanRun
from pvdrivers.sim.scheduler import FOR_EVER, SchedDomain
from pvdrivers.sim.vcpu_loop import VcpuLoop, compute, run_as

T = TypeVar("T")
US = 1_000
MS = 1_000_000
NOTHING = dict.fromkeys(CostModel.__struct_fields__, 0.0)
FREE = CostModel(**NOTHING)


class World:
    """A loop on a machine, its domains, and events from the first domain to each of the others."""

    def __init__(self, machine: Machine, loop: VcpuLoop, domains: int, vcpus: int) -> None:
        self.machine, self.loop = machine, loop
        self.domains = [
            machine.create_domain(memory="1M", vcpus=vcpus, privileged=domid == 0)
            for domid in range(domains)
        ]

    def spawn(self, domain: Domain, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.loop.create_task(work, context=self.loop.domain_context(domain))

    def neighbour(self, **settings: int) -> Domain:
        """A domain that computes for ever."""
        domain = self.machine.create_domain(memory="64K")
        self.machine.scheduler.set_domain(domain.domid, SchedDomain(**settings))
        self.machine.scheduler.demand(domain.domid, 0, FOR_EVER)
        return domain

    def running(self, domain: Domain) -> int:
        """ns that its vcpus have had."""
        return sum(
            self.machine.scheduler.run_state(domain.domid, vcpu).running
            for vcpu in range(domain.info.vcpus)
        )

    def run(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(body())
        self.end_tasks()

    def end_tasks(self) -> None:
        if tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks))


@contextmanager
def world(
    domains: int, *, cpus: int = 1, vcpus: int = 1, model: CostModel = FREE, seed: int = 1
) -> Iterator[World]:
    with Machine(virtual_time=True, cpus=cpus) as machine:
        loop = VcpuLoop(seed, machine, model)
        try:
            yield World(machine, loop, domains, vcpus)
        finally:
            loop.close()


class Channel:
    """An event channel; `received` has the times at which the second domain saw its events."""

    def __init__(self, here: World, sender: Domain, receiver: Domain) -> None:
        self.received: list[int] = []
        self._machine = here.machine
        self._out = sender.hypervisor.open_event_channels()
        self._in = receiver.hypervisor.open_event_channels()
        self.port = self._in.bind_unbound_port(sender.domid)
        self._remote = self._out.bind_interdomain(receiver.domid, self.port)
        while self._in.pending() is not None:  # a new channel has an event from the beginning
            pass
        self._in.unmask(self.port)
        here.loop.domain_context(receiver).run(here.loop.add_reader, self._in, self._receive)

    def _receive(self) -> None:
        _take_all(self._in)
        self.received.append(self._machine.now)

    def send(self) -> None:
        self._out.notify(self._remote)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._in)
        self._in.close()
        self._out.close()


def _take_all(channels: EventChannels) -> None:
    while (port := channels.pending()) is not None:
        channels.unmask(port)


# ---- Who gets the CPU ------------------------------------------------------------------------


def test_programs_share_a_cpu_by_weight() -> None:
    with world(2) as here:
        small, large = here.domains
        here.machine.scheduler.set_domain(large.domid, SchedDomain(weight=512))
        computed = dict.fromkeys(here.domains, 0)

        async def work(domain: Domain) -> None:
            while True:
                await compute(MS)
                computed[domain] += MS

        async def body() -> None:
            for domain in here.domains:
                here.spawn(domain, work(domain))
            await asyncio.sleep(3)

        here.run(body)
        shares = [computed[domain] / here.machine.now for domain in (small, large)]
        assert shares == pytest.approx([1 / 3, 2 / 3], abs=0.02)
        assert here.machine.scheduler.idle_time(0) == 0


def test_each_vcpu_runs_a_program() -> None:
    with world(1, cpus=2, vcpus=2) as here:

        async def body() -> None:
            await asyncio.gather(*(here.spawn(here.domains[0], compute(10 * MS)) for _ in range(4)))

        here.run(body)
        assert here.machine.now == pytest.approx(20 * MS, abs=MS)
        assert here.running(here.domains[0]) == pytest.approx(40 * MS, abs=MS)


def test_a_vcpu_that_is_down_runs_nothing_until_it_is_up_again() -> None:
    with world(1, cpus=2, vcpus=2) as here:
        (domain,) = here.domains

        async def two_programs() -> int:
            start = here.machine.now
            await asyncio.gather(*(here.spawn(domain, compute(10 * MS)) for _ in range(2)))
            return here.machine.now - start

        async def body() -> None:
            domain.vcpu(0).down()
            assert await two_programs() == pytest.approx(20 * MS, abs=MS)
            assert here.machine.scheduler.run_state(domain.domid, 0).running == 0
            domain.vcpu(0).up()
            assert await two_programs() == pytest.approx(10 * MS, abs=MS)

        here.run(body)


def test_steps_of_one_task_never_run_on_two_vcpus_at_once() -> None:
    with world(1, cpus=2, vcpus=2) as here:

        async def body() -> None:
            await here.spawn(here.domains[0], compute(10 * MS))

        here.run(body)
        assert here.machine.now >= 10 * MS


def test_what_belongs_to_nobody_runs_at_once_beside_domains_that_wait() -> None:
    with world(1) as here:
        here.neighbour()
        seen: list[str] = []

        async def guest() -> None:
            await compute(50 * MS)
            seen.append("guest")

        async def body() -> None:
            task = here.spawn(here.domains[0], guest())
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append("nobody")
            assert here.machine.now == 0
            await task

        here.run(body)
        assert seen == ["nobody", "guest"]


def test_a_timer_fires_when_the_domain_has_a_cpu_again() -> None:
    with world(2) as here:
        guest, other = here.domains
        woken: list[int] = []

        async def sleep() -> None:
            await asyncio.sleep(0.005)
            woken.append(here.machine.now)

        async def body() -> None:
            here.machine.scheduler.set_affinity(guest.domid, 0, [0])
            guest.pause()
            task = here.spawn(guest, sleep())
            await asyncio.sleep(0.02)
            assert not woken
            guest.unpause()
            await task

        here.run(body)
        assert woken[0] >= 20 * MS
        assert other


def test_boost_lets_a_domain_that_slept_go_first() -> None:
    """And one that has used up its credits waits for the slices of its neighbours."""

    def longest_wait(hungry: bool) -> int:
        with world(1) as here:
            for _ in range(3):
                here.neighbour()
            waits: list[int] = []

            async def hunger() -> None:
                while True:
                    await compute(MS)

            async def sleeper() -> None:
                for _ in range(40):
                    due = here.machine.now + 3 * MS
                    await asyncio.sleep(0.003)
                    waits.append(here.machine.now - due)

            async def body() -> None:
                if hungry:
                    here.spawn(here.domains[0], hunger())
                await here.spawn(here.domains[0], sleeper())

            here.run(body)
            return max(waits)

    rate_limit = MS
    assert longest_wait(hungry=False) <= rate_limit + 10 * US
    assert longest_wait(hungry=True) >= 30 * MS  # a slice


# ---- What it costs ---------------------------------------------------------------------------


def test_the_cost_is_exactly_the_accounts_times_the_model() -> None:
    model = CostModel(callback=0, world_switch=0)
    with world(2, model=model) as here:
        sender, receiver = here.domains

        async def send(channel: Channel) -> None:
            pages = sender.hypervisor.allocate_pages(1)
            ref = sender.hypervisor.grant_pages(sender.domid, pages)[0]
            for size in range(100, 1000, 100):
                channel.send()
                sender.hypervisor.copy_from_grant(sender.domid, ref, 0, size)
                await asyncio.sleep(0.001)
            sender.hypervisor.end_access(ref)

        async def body() -> None:
            channel = Channel(here, sender, receiver)
            before = {each: list(each.accounts.values()) for each in here.domains}
            served = {each: here.loop.vcpus_of(each).charged for each in here.domains}
            for each in here.domains:  # what was before the loop knew them
                assert served[each] == 0
            await here.spawn(sender, send(channel))
            await asyncio.sleep(0.01)
            for each in here.domains:
                after = list(each.accounts.values())
                counted = [new - old for new, old in zip(after, before[each], strict=True)]
                charged = here.loop.vcpus_of(each).charged
                # A waking that does nothing is a nanosecond, which what follows has less.
                assert 0 <= charged - model.cost(counted) // 1000 <= 9
                assert charged == here.running(each)
                assert charged > 9 * 500
            assert len(channel.received) == 9
            channel.close()

        here.run(body)


def test_waking_and_each_callback_have_their_price() -> None:
    model = CostModel(**NOTHING | {"callback": 300, "world_switch": 5000})
    with world(1, model=model) as here:

        async def nap() -> None:
            for _ in range(3):
                await asyncio.sleep(0.001)

        async def body() -> None:
            await here.spawn(here.domains[0], nap())

        here.run(body)
        # The task's first step, and for each nap its timer and the step after it.
        assert here.loop.vcpus_of(here.domains[0]).charged == 4 * 5000 + 7 * 300


def test_an_event_is_seen_when_the_sender_has_had_the_time_for_it() -> None:
    with world(2, cpus=2) as here:
        sender, receiver = here.domains

        async def work(channel: Channel) -> None:
            channel.send()
            here.loop.vcpus_of(sender).charge(3 * MS)

        async def body() -> None:
            channel = Channel(here, sender, receiver)
            await here.spawn(sender, work(channel))
            await asyncio.sleep(0.01)
            assert channel.received == [pytest.approx(3 * MS, abs=US)]
            channel.close()

        here.run(body)


def test_a_receiver_that_is_busy_sees_its_event_after_the_slice_that_it_computes() -> None:
    with world(2, cpus=2) as here:
        sender, receiver = here.domains

        async def work(channel: Channel) -> None:
            await asyncio.sleep(0.00505)
            channel.send()

        async def body() -> None:
            channel = Channel(here, sender, receiver)
            busy = here.spawn(receiver, compute(50 * MS))
            await here.spawn(sender, work(channel))
            await busy
            (seen,) = channel.received
            assert 5050 * US <= seen <= 5150 * US
            channel.close()

        here.run(body)


def test_a_callback_that_was_cancelled_costs_nothing() -> None:
    model = CostModel(**NOTHING | {"callback": 300})
    with world(1, model=model) as here:

        async def body() -> None:
            context = here.loop.domain_context(here.domains[0])
            called: list[int] = []
            for number in range(3):
                handle = here.loop.call_soon(called.append, number, context=context)
                if number == 1:
                    handle.cancel()
            await asyncio.sleep(0.001)
            assert called == [0, 2]
            assert here.loop.vcpus_of(here.domains[0]).charged == 600 + 1 - 1

        here.run(body)


# ---- A deterministic loop it remains ---------------------------------------------------------


def arrivals(seed: int) -> list[tuple[int, int]]:
    """Which of five domains sees an event of the first one when; all were sent at once."""
    with world(6, cpus=2, model=CostModel(), seed=seed) as here:
        seen: list[tuple[int, int]] = []

        async def body() -> None:
            sender, *receivers = here.domains
            channels = [Channel(here, sender, each) for each in receivers]

            async def send() -> None:
                for channel in channels:
                    channel.send()

            await here.spawn(sender, send())
            await asyncio.sleep(0.01)
            for number, channel in enumerate(channels):
                seen.extend((time, number) for time in channel.received)
                channel.close()

        here.run(body)
        return sorted(seen)


def test_the_seed_chooses_whose_event_is_first() -> None:
    assert arrivals(1) == arrivals(1)
    assert len({tuple(number for _, number in arrivals(seed)) for seed in range(8)}) > 1


def test_a_lost_wake_up_is_reported() -> None:
    with world(1) as here:
        here.neighbour()  # which is no reason to go on

        async def body() -> None:
            await here.spawn(here.domains[0], asyncio.Event().wait())

        with pytest.raises(NothingCanRun, match=r"Event\.wait"):
            here.run(body)
        here.end_tasks()


def test_a_paused_domain_that_nobody_can_wake_is_reported() -> None:
    with world(1) as here:

        async def body() -> None:
            here.domains[0].pause()
            await here.spawn(here.domains[0], compute(MS))

        with pytest.raises(NothingCanRun):
            here.run(body)
        here.domains[0].unpause()
        here.end_tasks()


def test_a_vcpu_that_went_down_with_its_work_is_reported() -> None:
    with world(1, vcpus=2) as here:
        (domain,) = here.domains

        async def body() -> None:
            task = here.spawn(domain, compute(10 * MS))
            await asyncio.sleep(0.005)
            domain.vcpu(0).down()
            await task

        with pytest.raises(NothingCanRun):
            here.run(body)
        domain.vcpu(0).up()
        here.end_tasks()


@pytest.mark.parametrize("end", [Domain.shutdown, Domain.crash, Domain.destroy])
def test_the_tasks_of_a_domain_that_has_ended_can_end(end: Callable[[Domain], None]) -> None:
    with world(1) as here:
        here.neighbour()

        async def body() -> None:
            task = here.spawn(here.domains[0], compute(100 * MS))
            await asyncio.sleep(0.03)
            end(here.domains[0])
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        here.run(body)


def test_a_domid_that_is_used_again_is_another_domain() -> None:
    with world(1) as here:

        async def body() -> None:
            await here.spawn(here.domains[0], compute(MS))
            here.domains[0].destroy()
            again = here.machine.create_domain(domid=0, memory="1M")
            await here.spawn(again, compute(MS))
            assert here.running(again) == pytest.approx(MS, abs=US)

        here.run(body)


def test_an_interrupt_leaves_a_loop_that_can_be_cleaned_up() -> None:
    with world(1) as here:

        async def interrupted() -> None:
            raise KeyboardInterrupt

        async def body() -> None:
            await here.spawn(here.domains[0], interrupted())

        with pytest.raises(KeyboardInterrupt):
            here.run(body)
        here.end_tasks()


def test_a_machine_without_cpus_has_no_such_loop() -> None:
    with Machine(virtual_time=True) as machine, pytest.raises(MachineError):
        VcpuLoop(1, machine)


def test_without_cpus_computing_takes_its_time() -> None:
    with Machine(virtual_time=True) as machine:
        guest = machine.create_domain(memory="1M")
        loop = DeterministicLoop(1, machine)
        loop.run_until_complete(run_as(guest, compute(7 * MS)))
        assert machine.now == pytest.approx(7 * MS, abs=2 * US)
        loop.close()


def test_run_as_is_work_of_the_domain() -> None:
    with world(1) as here:
        here.run(lambda: run_as(here.domains[0], compute(7 * MS)))
        assert here.running(here.domains[0]) == pytest.approx(7 * MS, abs=US)


# ---- Timers of vcpus -------------------------------------------------------------------------

VIRQ_TIMER = 0


def when_its_timer_comes(loop: DeterministicLoop, machine: Machine, domain: Domain) -> int:
    """The time at which the domain sees the event of a timer that it has set to 3 ms."""
    channels = domain.hypervisor.open_event_channels()
    channels.bind_virq(VIRQ_TIMER)
    seen = loop.create_future()

    def receive() -> None:
        _take_all(channels)
        seen.set_result(machine.now)

    def start() -> None:
        loop.add_reader(channels, receive)
        domain.vcpu(0).set_singleshot_timer(3 * MS, future=True)

    async def main() -> int:
        await run_as(domain, asyncio.sleep(0))
        context = loop.domain_context(domain) if isinstance(loop, VcpuLoop) else None
        loop.call_soon(start, context=context)
        return int(await seen)

    try:
        return loop.run_until_complete(main())
    finally:
        loop.remove_reader(channels)
        channels.close()


def test_a_timer_of_a_vcpu_comes_at_its_time() -> None:
    with world(1) as here:
        assert when_its_timer_comes(here.loop, here.machine, here.domains[0]) == 3 * MS + 1


def test_a_timer_of_a_vcpu_comes_on_a_loop_without_cpus() -> None:
    with Machine(virtual_time=True) as machine:
        loop = DeterministicLoop(1, machine)
        domain = machine.create_domain(memory="1M")
        assert 3 * MS <= when_its_timer_comes(loop, machine, domain) <= 3 * MS + MAX_LATENCY
        loop.close()
