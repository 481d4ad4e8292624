"""An image whose open never returns, as on a file server that is down, affects only its disk."""

import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.toolstack.devices import add_device, unplug_device
from pvdrivers.vbd.config import disk_config

from .conftest import PVBACKD, SIZE, until

# Opening a file below a folder `hangs` never returns. A whole file system that does this
# (FUSE) needs privileges; to the daemon it is the same.
HANGS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define OPEN(name, parameters, arguments) \
    int name parameters \
    { \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = va_arg(list, mode_t); \
        va_end(list); \
        while (strstr(path, "/hangs/")) \
            pause(); \
        int (*next) parameters = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
        return next arguments; \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
"""


@pytest.fixture
def hangs(tmp_path: Path) -> Path:
    """A library to preload."""
    source, library = tmp_path / "hangs.c", tmp_path / "hangs.so"
    source.write_text(HANGS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.slow
def test_it_delays_no_other_disk(
    image: Path, hangs: Path, tmp_path: Path, status: Callable[[], Awaitable[list[str]]]
) -> None:
    control = f"--control={tmp_path / 'control'}"
    daemon = ["env", f"LD_PRELOAD={hangs}", *PVBACKD, control]
    images = {name: tmp_path / name for name in ("hangs/xvdb", "hangs/xvdc", "xvdb", "xvdd")}
    for path in images.values():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(SIZE))

    async def scenario(frontend: Any) -> None:
        async def plug(name: str, path: str) -> str:
            config = disk_config(name, loopback.guest.domid, params=str(images[path]), kind="phy")
            await add_device(loopback.toolstack, config)
            return config.backend_path

        async def is_served(path: str) -> bool:
            return any(line.startswith(f"{path} connected") for line in await status())

        await frontend.connected()
        hung = await plug("xvdb", "hangs/xvdb")
        await plug("xvdc", "hangs/xvdc")
        other = await plug("xvdd", "xvdd")
        await until(lambda: is_served(other))
        loopback.daemon.send_signal(signal.SIGHUP)
        await frontend.write(0, b"w" * 512)
        config = disk_config("xvdb", loopback.guest.domid)
        assert config.backend_path == hung
        assert await unplug_device(loopback.toolstack, config)
        await plug("xvdb", "xvdb")
        await until(lambda: is_served(hung))
        assert await frontend.read(0, 1) == b"w" * 512
        loopback.kill_backend(signal.SIGTERM)
        assert loopback.daemon.returncode == 0

    disk = {"kind": "phy", "params": str(image)}
    with VbdLoopback(None, mode="processes", daemon=daemon, **disk) as loopback:
        loopback.run(scenario)
