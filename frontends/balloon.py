"""A guest's balloon: what the toolstack writes to `memory/target` is what the guest keeps.

    balloon = Balloon(client, hypervisor)
    task = asyncio.create_task(balloon.run())

Pages that are free in the guest go back to the hypervisor, or come from there. A target below what
is in use, or above what the machine has, is gone after until it is reached or another one is set.
"""

import asyncio
import logging
from contextlib import suppress

from pvdrivers.hypervisor import Hypervisor
from pvdrivers.xenstore.client import XenstoreClient

TARGET = "memory/target"  # KiB, in the guest's part of xenstore
MINIMUM = 4 << 20  # bytes: less is no target
RETRY = 1.0  # seconds until a target that was not reached is tried again

log = logging.getLogger(__name__)


class Balloon:
    """`client` is the guest's own, `minimum` the bytes that it never goes below."""

    def __init__(
        self, client: XenstoreClient, hypervisor: Hypervisor, minimum: int = MINIMUM
    ) -> None:
        self._client = client
        self._hypervisor = hypervisor
        self.minimum = minimum
        self.target: int | None = None  # bytes; None: none is set
        self.size: int | None = None  # bytes after the last change; None: there was none

    async def run(self) -> None:
        """Follows the target until it is cancelled or the xenstore is gone (OSError). UsageError:
        the guest's kernel has its memory to itself."""
        changed = asyncio.Event()
        async with await self._client.watch(TARGET, on_event=changed.set):
            while True:
                changed.clear()
                await self._read_target()
                patience = None if self._reached() else RETRY
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await changed.wait()

    async def _read_target(self) -> None:
        """One that is no number is logged, and the last one stays."""
        text = await self._client.read_optional(TARGET)
        if text is None:
            self.target = None
        elif text.isascii() and text.isdigit():
            self.target = max(int(text) << 10, self.minimum)
        else:
            log.warning("%s is %r, and must be a number of KiB", TARGET, text)

    def _reached(self) -> bool:
        """Goes after the target."""
        if self.target is None:
            return True
        pages = self.target // self._hypervisor.page_size
        reached = self._hypervisor.balloon(pages)
        self.size = reached * self._hypervisor.page_size
        return reached == pages

    def __repr__(self) -> str:
        def mebibytes(size: int | None) -> str:
            return "none" if size is None else f"{size >> 20} MiB"

        return f"<Balloon, target {mebibytes(self.target)}, size {mebibytes(self.size)}>"
