"""Memory given to the Python faces may be part of any reference cycle."""

import subprocess
import sys

import pytest

from pvdrivers.ring import FrontRing

COLLECT = """
import asyncio, gc, os
from pvdrivers.ring import BackRing, FrontRing
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.server import RingConnection
from pvdrivers.xenstore.transports import RingTransport

class Channel:
    def __init__(self): self.fd = os.eventfd(0)
    def fileno(self): return self.fd
    def notify(self): pass

async def main():
    gc.disable()
    for _ in range(3):
        view = memoryview(bytearray(4096))  # older than what stands on it: collected first
        user = {MAKE}
        user.owner = user
        if hasattr(user, "close"):
            user.close()
        del view, user
        gc.collect()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "make",
    [
        "FrontRing.create(view, 64)",
        "BackRing(view, 64)",
        "RingConnection(XenStore(), 1, view, Channel())",
        "RingTransport(view, Channel(), None)",
    ],
)
def test_a_cycle_is_collected(make: str) -> None:
    """In a process of its own, since the failure is a crash of the interpreter."""
    program = COLLECT.replace("{MAKE}", make)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_ring_keeps_its_memory() -> None:
    page = bytearray(4096)
    front = FrontRing.create(page, 64)
    with pytest.raises(BufferError):
        page.clear()
    del front
    page.clear()
