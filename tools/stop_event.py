"""How a serving program is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence


def stop_event(command: Sequence[str] = ()) -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from now on. While a captive `command` runs, Ctrl-C in a terminal
    is its business, which has it too."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if command else stop.set)
    return stop
