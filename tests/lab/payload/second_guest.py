"""Another guest beside the lab's own, which `xl create` makes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from guest import GuestShell
from serve import Lab
from step import XL, command, wait_until


@asynccontextmanager
async def second_guest(lab: Lab, config: str) -> AsyncIterator[GuestShell]:
    """A second guest, from `xl create` until it has powered itself off, if it still lives."""
    log = "/var/log/xen/guest-second.log"
    follow = f"tail -F -n +1 {log} 2>/dev/null | sed -u 's/^/[guest] second: /'"
    tail = await asyncio.create_subprocess_exec("bash", "-c", follow, start_new_session=True)
    try:
        await command("bash", "-c", f"cat >/run/second.cfg <<'END'\n{config}END")
        print("   ", await command(XL, "create", "/run/second.cfg"), flush=True)
        domid = await command(XL, "domid", "second")
        shell = GuestShell(await lab.client.read_str(f"/local/domain/{domid}/console/tty"))
        await wait_until(f"grep -q 'guest is ready' {log}", 240)
        yield shell
        if await lab.client.exists(f"/local/domain/{domid}"):
            shell.type("mount -o remount,ro /; poweroff -f")
        await wait_until(f"! {XL} domid second", 120)
    finally:
        os.killpg(tail.pid, signal.SIGTERM)
