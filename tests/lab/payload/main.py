"""Runs the steps one after the other, in dom0: our block backend, Linux's blkfront."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
import traceback

import uvloop
from guest import CommandFailed
from serve import lab
from step import GUEST, STEPS, XL, Step
from steps import MACHINES


async def look_around() -> None:
    """Into the logs, after a failure: the devices' keys, whether the guest's processors run, and
    what it last said."""
    looks = [
        f"{XL} {words}" for words in ("vcpu-list", f"sysrq {GUEST} 9", "vcpu-list", "dmesg -c")
    ]
    looks += [f"xenstore-ls -f /local/domain/{end}" for end in ("0/backend", f"{GUEST}/device")]
    for look in looks:
        process = await asyncio.create_subprocess_exec("timeout", "30", *look.split())
        await process.wait()
        await asyncio.sleep(1)


def choose(names: list[str]) -> list[Step]:
    for subjects in MACHINES.values():
        for subject in subjects:
            importlib.import_module(f"steps.{subject}")
    return [STEPS[name] for name in names]


async def main(names: list[str]) -> int:
    steps = choose(names)
    failed = []
    async with lab(GUEST) as opened:
        print(f"### {opened.hypervisor}", flush=True)
        for function in steps:
            name = function.__name__
            print(f"### {name}: {function.__doc__}", flush=True)
            begun = time.monotonic()
            try:
                try:
                    await function(opened)
                finally:
                    await opened.kernel_logs.check()
                outcome = "passed"
            except (AssertionError, CommandFailed, OSError) as error:
                traceback.print_exception(error)
                outcome = "FAILED"
                failed.append(name)
                await look_around()
            print(f"### {name} {outcome} after {time.monotonic() - begun:.1f} s", flush=True)
            if failed:
                break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main(sys.argv[1:])))
