"""Linux's own network backend in dom0."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from step import command


@asynccontextmanager
async def netback(*parameters: str) -> AsyncIterator[None]:
    """The driver is loaded, and takes every new vif, for the time of a block."""
    await command("modprobe", "xen-netback", *parameters)
    yield
    await command("rmmod", "xen-netback")
