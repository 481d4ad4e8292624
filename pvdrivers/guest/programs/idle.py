"""Does nothing: the guest's devices are there, and it waits to be shut down."""

import asyncio

from pvdrivers.guest.kernel import Kernel


async def main(kernel: Kernel) -> None:
    """Does not return."""
    del kernel
    await asyncio.Event().wait()
