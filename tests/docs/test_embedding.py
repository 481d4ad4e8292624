"""The programs of docs/embedding.md do what the page says."""

import re
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.vbd.disk import DiskConfig
from pvdrivers.testing.vbd.loopback import VbdLoopback

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAMS = dict(BLOCK.findall(PAGE.read_text()))

# The command of a daemon ends with --machine=SOCKET --xenstore=SOCKET; the program wants sockets.
BARE = (
    "import runpy, sys; state, *sockets = sys.argv[1:]; "
    "sys.argv[1:] = [*(socket.partition('=')[2] for socket in sockets), state]; "
)


@pytest.mark.slow
def test_ten_lines_serve_a_disk(tmp_path: Path) -> None:
    program, image = tmp_path / "embedded.py", tmp_path / "disk.img"
    program.write_text(PROGRAMS["embedded.py"])
    body = PROGRAMS["embedded.py"].partition("async def main")[2].splitlines()
    assert len([line for line in body if line]) <= 10
    image.write_bytes(bytes(1 << 16))
    command = [sys.executable, "-c", f"{BARE}runpy.run_path({str(program)!r})", str(tmp_path)]

    async def scenario(frontend: Any) -> None:
        assert (await frontend.connected()).sectors == 128
        await frontend.write(3, b"embedded".ljust(512))
        await frontend.flush()
        assert image.read_bytes()[3 * 512 :].startswith(b"embedded")
        queues = frontend.queues
        for end in (signal.SIGINT, signal.SIGKILL):
            loopback.kill_backend(end)
            loopback.restart_backend()
            assert await frontend.read(3, 1) == b"embedded".ljust(512)
            assert frontend.queues == queues

    disk = {"kind": "phy", "params": str(image)}
    with VbdLoopback(None, mode="processes", daemon=command, **disk) as loopback:
        loopback.run(scenario)


@pytest.mark.slow
def test_threads_pump(tmp_path: Path) -> None:
    """The function in place of a daemon's main one."""
    program = tmp_path / "pumped_by_threads.py"
    main = """
import asyncio, sys
from pvdrivers.sim import Machine
async def main(machine, xenstore):
    async with await XenstoreClient.connect(xenstore) as client:
        await serve(client, Machine.attach(machine).open_hypervisor(0))
asyncio.run(main(*(socket.partition("=")[2] for socket in sys.argv[1:])))
"""
    program.write_text(PROGRAMS["pumped_by_threads.py"] + main)

    async def scenario(frontend: Any) -> None:
        await frontend.write(3, b"pumped".ljust(512))
        assert await frontend.read(3, 1) == b"pumped".ljust(512)
        assert thread_names(loopback.daemon.pid).count("poll thread") == 2

    command = [sys.executable, str(program)]
    disk = {"kind": "ram", "params": "65536"}
    with VbdLoopback(None, mode="processes", daemon=command, **disk) as loopback:
        loopback.run(scenario)


def thread_names(pid: int) -> list[str]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [(thread / "comm").read_text().strip() for thread in threads]


def test_own_stores(tmp_path: Path) -> None:
    program = tmp_path / "served_from_memory.py"
    program.write_text(PROGRAMS["served_from_memory.py"])
    options_for = runpy.run_path(str(program))["options_for"]
    path = "/local/domain/0/backend/vbd/1/51712"
    assert options_for(DiskConfig(path, "memory:")).limits.max_queues == 2
    assert options_for(DiskConfig(path, "/images/web.img")) is None
