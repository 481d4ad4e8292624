"""What stops a serving program."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pvdrivers.tools.stop_event import stop_event

PATIENCE = 60.0  # seconds


@pytest.mark.parametrize(
    ("number", "command"),
    [(signal.SIGTERM, ()), (signal.SIGINT, ()), (signal.SIGTERM, ("sleep", "1"))],
)
def test_a_signal_that_stops_it(number: signal.Signals, command: tuple[str, ...]) -> None:
    async def scenario() -> None:
        stop = stop_event(command)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), PATIENCE)

    asyncio.run(scenario())


def test_a_captive_command_has_ctrl_c() -> None:
    async def scenario() -> None:
        stop, later = stop_event(["sleep", "1"]), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, later.set)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(later.wait(), PATIENCE)
        assert not stop.is_set()

    asyncio.run(scenario())
