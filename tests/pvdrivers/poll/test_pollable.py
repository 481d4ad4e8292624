"""Pollables written in Python, driven by the loop and by threads."""

import asyncio
import errno
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.group import PollGroup
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.threads import PollThreads
from tests.until import until

from .ports import Counting, Ports, open_ports


@pytest.fixture(params=["loop", "threads"])
def driver(request: pytest.FixtureRequest) -> Iterator[PollDriver]:
    with ExitStack() as stack:
        threads = request.param == "threads"
        yield stack.enter_context(PollThreads()) if threads else LoopDriver()


def run(main: Callable[[Ports], object]) -> None:
    with open_ports() as ports:
        asyncio.run(main(ports))  # type: ignore[arg-type]


def test_it_is_pumped_when_its_port_fires_and_when_it_is_woken(driver: PollDriver) -> None:
    async def main(ports: Ports) -> None:
        requests: list[str] = []

        def answer() -> int:
            done = len(requests)
            requests.clear()
            return done

        queue = Counting(ports.channels, ports.bind(), answer)
        driver.add(queue.pollable)
        await until(lambda: queue.pumps > 0)
        for _ in range(20):
            requests.append("from the other end")
            ports.fire(queue.port)
            await until(lambda: not requests)
            requests.append("from this end")
            queue.wake()
            await until(lambda: not requests)
        driver.remove(queue.pollable)
        queue.close()

    run(main)


def test_it_is_pumped_again_when_arming_finds_work(driver: PollDriver) -> None:
    """A request that comes between the last pump and the arming has no event."""

    class Late(Counting):
        late = 3

        def arm(self) -> bool:
            self.late -= 1
            return self.late >= 0

    async def main(ports: Ports) -> None:
        queue = Late(ports.channels, ports.bind(), lambda: 0)
        driver.add(queue.pollable)
        await until(lambda: queue.pumps >= 4 and queue.late < 0)
        driver.remove(queue.pollable)
        queue.close()

    run(main)


@pytest.mark.parametrize("method", ["pump", "arm", "deadline"])
def test_what_raises_is_logged_and_stops_alone(
    driver: PollDriver, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(ports: Ports) -> None:
        def fail(*arguments: int) -> int:
            nonlocal calls
            calls += 1
            raise ZeroDivisionError("a bug")

        calls = 0
        bad = Counting(ports.channels, ports.bind(), lambda: 0)
        good = Counting(ports.channels, ports.bind(), lambda: 0)
        setattr(bad, method, fail)
        driver.add(bad.pollable)
        driver.add(good.pollable)
        await until(lambda: bad.broken is not None and good.pumps > 0)
        for _ in range(3):
            before = good.pumps
            ports.fire(bad.port)
            bad.wake()
            good.wake()
            await until(lambda before=before: good.pumps > before)  # type: ignore[misc]
        assert calls == 1
        assert isinstance(bad.broken, ZeroDivisionError)
        for queue in (bad, good):
            driver.remove(queue.pollable)
            queue.close()

    run(main)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "has raised, and is pumped no more" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


def test_a_pump_may_not_leave_its_driver(driver: PollDriver) -> None:
    """It would wait for itself."""

    async def main(ports: Ports) -> None:
        def leave() -> int:
            driver.remove(queue.pollable)
            return 1

        queue = Counting(ports.channels, ports.bind(), leave)
        driver.add(queue.pollable)
        await until(lambda: queue.broken is not None)
        assert isinstance(queue.broken, OSError)
        assert queue.broken.errno == errno.EDEADLK
        driver.remove(queue.pollable)
        queue.close()

    run(main)


def test_threads_call_it_one_at_a_time() -> None:
    """From the thread that drives it, and never once remove has returned."""

    async def main(ports: Ports) -> None:
        threads = set()

        def work() -> int:
            threads.add(threading.get_ident())
            return 1  # always busy

        with PollThreads(2) as driver:
            queues = [Counting(ports.channels, ports.bind(), work)]
            driver.add(queues[0].pollable)
            await until(lambda: queues[0].pumps > 10)
            driver.remove(queues[0].pollable)
            before = queues[0].pumps
            await asyncio.sleep(0.01)
            assert queues[0].pumps == before
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        queues[0].close()

    run(main)


def test_one_that_is_broken_costs_nothing_however_often_it_is_woken() -> None:
    """Otherwise its fd stays readable, and its driver never sleeps again."""

    def fail() -> int:
        raise ZeroDivisionError("a bug")

    with open_ports() as ports:
        queue = Counting(ports.channels, ports.bind(), fail)
        group = PollGroup("event")
        group.add(queue.pollable)
        group.iterate(0)
        assert isinstance(queue.broken, ZeroDivisionError)
        queue.wake()
        group.iterate(0)
        assert group.awake == 0
        assert select.select([group], [], [], 0)[0] == []
        group.close()
        queue.close()
