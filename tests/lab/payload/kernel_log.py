"""What the kernels of dom0 and of the guest complain of."""

from __future__ import annotations

import os
import re

from guest import GuestShell

from pvdrivers.xenstore.client import XenstoreClient

COMPLAINT = re.compile(r"WARNING:|\bBUG\b|Bad page|\bOops\b|general protection")
# The time of an emulated computer is loose: these say only that it was slow.
SLOW = re.compile(r"(soft|workqueue) lockup")
RECORD = 8192  # bytes; the longest that the kernel gives


class KernelLogs:
    """Reads on in both logs from where the last look ended."""

    def __init__(self, client: XenstoreClient, domid: int, shell: GuestShell) -> None:
        self._client = client
        self._guest = f"/local/domain/{domid}"
        self._shell = shell
        self._dom0 = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

    async def skip(self) -> None:
        """Skips what is in both logs now."""
        os.lseek(self._dom0, 0, os.SEEK_END)
        await self._shell.run("dmesg -c >/dev/null")

    def _lines_of_dom0(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                record = os.read(self._dom0, RECORD).decode("utf-8", "replace")
            except BlockingIOError:
                return lines
            except BrokenPipeError:  # the kernel has overwritten what was next
                continue
            # FLAGS,NUMBER,TIME,...;TEXT, then lines of KEY=VALUE
            lines.append(record.partition(";")[2].partition("\n")[0])

    async def _lines_of_guest(self) -> list[str]:
        if not await self._client.exists(self._guest):
            return []
        return (await self._shell.run("dmesg -c")).splitlines()

    async def check(self) -> None:
        """AssertionError with the lines when a kernel has complained since the last time."""
        logs = {"dom0": self._lines_of_dom0(), "the guest": await self._lines_of_guest()}
        for name, lines in logs.items():
            bad = [line for line in lines if COMPLAINT.search(line) and not SLOW.search(line)]
            assert not bad, f"the kernel of {name} complains: {'; '.join(bad)}"
