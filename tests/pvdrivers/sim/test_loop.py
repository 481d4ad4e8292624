"""The deterministic loop: the seed decides the order of events, time is virtual."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator

import pytest

from pvdrivers.sim.loop import DeterministicLoop, NothingCanRun


def order_of_arrival(seed: int) -> tuple[list[int], int]:
    """Ten eventfds become readable at once; the order in which a seed delivers them, and when."""
    loop = DeterministicLoop(seed)
    files = [os.eventfd(1, os.EFD_NONBLOCK) for _ in range(10)]
    arrived: list[int] = []

    async def wait() -> None:
        everything = asyncio.Event()

        def on_readable(index: int) -> None:
            os.eventfd_read(files[index])
            arrived.append(index)
            if len(arrived) == len(files):
                everything.set()

        for index, file in enumerate(files):
            loop.add_reader(file, on_readable, index)
        await everything.wait()

    loop.run_until_complete(wait())
    now = loop.clock.now
    for file in files:
        loop.remove_reader(file)
        os.close(file)
    loop.close()
    return arrived, now


def test_same_seed_same_order_other_seed_another() -> None:
    assert order_of_arrival(1) == order_of_arrival(1)
    assert len({tuple(order_of_arrival(seed)[0]) for seed in range(8)}) > 1


def test_order_does_not_depend_on_file_numbers() -> None:
    expected = order_of_arrival(5)
    occupied = [os.eventfd(0) for _ in range(7)]
    try:
        assert order_of_arrival(5) == expected
    finally:
        for file in occupied:
            os.close(file)


def test_time_is_virtual() -> None:
    loop = DeterministicLoop(0)
    loop.run_until_complete(asyncio.sleep(86_400 * 365))
    assert loop.time() >= 86_400 * 365
    loop.close()


def test_lost_wake_up_is_reported() -> None:
    loop = DeterministicLoop(0)
    never: asyncio.Future[None] = loop.create_future()
    with pytest.raises(NothingCanRun):
        loop.run_until_complete(never)
    loop.close()


def test_it_says_which_tasks_wait_and_where() -> None:
    loop = DeterministicLoop(0)

    async def inner(never: asyncio.Event) -> None:
        await never.wait()

    async def counted() -> AsyncIterator[int]:
        await inner(asyncio.Event())
        yield 1

    async def main() -> None:
        other = loop.create_task(inner(asyncio.Event()), name="another")
        async for _ in counted():
            pass
        await other

    main_task = loop.create_task(main(), name="mine")
    with pytest.raises(NothingCanRun) as caught:
        loop.run_until_complete(main_task)
    _, another, mine = str(caught.value).splitlines()
    assert re.fullmatch(r"another: .*inner \(test_loop.py:\d+\) > Event.wait \(.*\)", another)
    assert mine.startswith("mine: ")
    assert "main (test_loop.py:" in mine
    for task in asyncio.all_tasks(loop):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(main_task)
    loop.close()


def test_other_threads_are_refused() -> None:
    loop = DeterministicLoop(0)
    with pytest.raises(RuntimeError, match="no threads"):
        loop.call_soon_threadsafe(print)
    loop.close()


def test_what_is_given_to_a_thread_is_carried_out_on_this_one() -> None:
    loop = DeterministicLoop(0)
    here = asyncio.to_thread(threading.get_ident)
    assert loop.run_until_complete(here) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(asyncio.to_thread(lambda: 1 // 0))
    loop.close()
