"""Pollables in an asyncio loop: spurious events cost other pollables no pump, and lose no event."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from pvdrivers.poll.loop import LoopDriver
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop

from .ports import Counting, Ports, open_ports

Body = Callable[[Ports, LoopDriver], Awaitable[None]]


def run(body: Body) -> None:
    with open_ports() as ports:
        asyncio.run(body(ports, LoopDriver()))  # type: ignore[arg-type]


def add(ports: Ports, driver: LoopDriver, work: Callable[[], int]) -> Counting:
    queue = Counting(ports.channels, ports.bind(), work)
    driver.add(queue.pollable)
    return queue


def release(driver: LoopDriver, *queues: Counting) -> None:
    for queue in queues:
        driver.remove(queue.pollable)
        queue.close()


async def until_idle(*queues: Counting) -> None:
    """They have been pumped, and are asleep."""
    while True:
        before = [queue.pumps for queue in queues]
        for _ in range(5):
            await asyncio.sleep(0)
        if [queue.pumps for queue in queues] == before and all(before):
            return


def test_events_buy_no_extra_pumps() -> None:
    """One port always has work and fires without end; the other only has work."""

    async def body(ports: Ports, driver: LoopDriver) -> None:
        loud, quiet = add(ports, driver, lambda: 1), add(ports, driver, lambda: 1)
        for _ in range(1000):
            ports.fire(loud.port)
            await asyncio.sleep(0)
        assert quiet.pumps >= 990
        assert loud.pumps <= 2 * quiet.pumps
        release(driver, loud, quiet)

    run(body)


def test_a_flood_is_handled_a_few_times_and_others_as_before() -> None:
    async def body(ports: Ports, driver: LoopDriver) -> None:
        requests = 0

        def answer() -> int:
            nonlocal requests
            done, requests = requests, 0
            return done

        rogue, healthy = add(ports, driver, lambda: 0), add(ports, driver, answer)
        await until_idle(rogue, healthy)
        for step in range(20_000):
            ports.fire(rogue.port)
            if step % 20 == 0:
                requests = 1
                ports.fire(healthy.port)
                while requests:  # noqa: ASYNC110 - the loop's next iterations
                    await asyncio.sleep(0)
        assert rogue.pumps < 100
        assert 2 <= driver.spurious_events < 100
        release(driver, rogue, healthy)

    run(body)


def test_work_found_without_an_event_keeps_the_port_open() -> None:
    """A store that finishes just before the frontend's event arrives: the event finds nothing to
    do, time and again, but this frontend is no rogue."""

    async def body(ports: Ports, driver: LoopDriver) -> None:
        requests = 0

        def answer() -> int:
            nonlocal requests
            done, requests = requests, 0
            return done

        queue = add(ports, driver, answer)
        await until_idle(queue)
        for _ in range(50):
            requests = 1
            queue.wake()
            while requests:  # noqa: ASYNC110 - the loop's next iterations
                await asyncio.sleep(0)
            before = queue.pumps
            ports.fire(queue.port)
            async with asyncio.timeout(30):
                while queue.pumps == before:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            await until_idle(queue)
        assert driver.spurious_events >= 50
        requests = 1
        ports.fire(queue.port)  # if it were taken for spurious, it would be handled a second later
        for _ in range(20):
            await asyncio.sleep(0)
        assert requests == 0
        release(driver, queue)

    run(body)


def test_what_is_removed_is_pumped_no_more_and_may_come_back() -> None:
    async def body(ports: Ports, driver: LoopDriver) -> None:
        one, other = add(ports, driver, lambda: 0), add(ports, driver, lambda: 0)
        await until_idle(one, other)
        driver.remove(one.pollable)
        driver.remove(one.pollable)  # which is the caller's already
        before = one.pumps, other.pumps
        ports.fire(one.port)
        one.wake()
        ports.fire(other.port)
        await until_idle(one, other)
        assert one.pumps == before[0]
        assert other.pumps > before[1]
        driver.add(one.pollable)
        await until_idle(one)
        assert one.pumps > before[0]
        assert repr(driver) == "<LoopDriver, pollables [2]>"
        release(driver, one, other)
        assert repr(driver) == "<LoopDriver, pollables []>"

    run(body)


def test_a_pollable_is_in_one_driver() -> None:
    async def body(ports: Ports, driver: LoopDriver) -> None:
        queue, other = add(ports, driver, lambda: 0), LoopDriver()
        with pytest.raises(OSError, match="cannot join a poll group: Device or resource busy"):
            other.add(queue.pollable)
        assert repr(other) == "<LoopDriver, pollables []>"
        release(driver, queue)

    run(body)


@pytest.mark.parametrize("seed", range(20))
def test_a_deadline_is_kept_in_virtual_time(seed: int) -> None:
    """To the nanosecond, though the loop counts in seconds and floats, and not once too often."""

    class Timed(Counting):
        due = math.inf

        def pump(self, budget: int, now: int) -> int:
            self.pumps += 1
            if now < self.due:
                return 0
            self.due = math.inf
            woken.set()
            return 1

        def deadline(self) -> int:
            return super().deadline() if self.due == math.inf else int(self.due)

    woken = asyncio.Event()
    with Machine(virtual_time=True) as machine:
        ports, driver = Ports(machine), LoopDriver()

        async def main() -> None:
            queue = Timed(ports.channels, ports.bind(), lambda: 0)
            driver.add(queue.pollable)
            for step in range(50):
                queue.due = machine.now + 1_000_003 * (step + 1) + 7
                due = queue.due
                queue.wake()
                pumps = queue.pumps
                await woken.wait()
                woken.clear()
                assert due <= machine.now < due + 2000
                assert queue.pumps <= pumps + 4
            release(driver, queue)

        with asyncio.Runner(loop_factory=lambda: DeterministicLoop(seed, machine)) as runner:
            runner.run(main())
        ports.close()
