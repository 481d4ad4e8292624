"""What others do to the in-flight logs harms neither the daemon nor its successor."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vbd.loopback import VbdLoopback

from .conftest import PATIENCE, until

pytestmark = pytest.mark.slow

Disk = Callable[..., VbdLoopback]
Status = Callable[[], Awaitable[list[str]]]


async def read_everywhere(frontend: Any) -> None:
    """Enough at once to use every entry of the log."""
    await asyncio.gather(*(frontend.read(index % 256, 1) for index in range(2048)))


@pytest.mark.parametrize("kept", [0, 4096])
def test_a_log_truncated_under_io_is_survived(
    pvbackd_disk: Disk, status: Status, tmp_path: Path, kept: int
) -> None:
    state, control = tmp_path / "state", tmp_path / "control"
    loopback = pvbackd_disk("--state-directory", state, "--control", control)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await read_everywhere(frontend)
        (log,) = state.glob("vbd-*")
        daemon = loopback.daemon.pid
        os.truncate(log, kept)
        await read_everywhere(frontend)
        await frontend.write(0, b"w" * 512)
        assert loopback.daemon.pid == daemon
        assert loopback.daemon.poll() is None
        (line,) = await status()
        assert "in-flight log lost" in line

        for _ in range(2):  # the second successor has a log to believe
            loopback.kill_backend()
            loopback.restart_backend()
            assert await asyncio.wait_for(frontend.read(0, 1), PATIENCE) == b"w" * 512
            await read_everywhere(frontend)
            (line,) = await status()
            assert "in-flight log lost" not in line
            assert log.stat().st_size > 4096

    loopback.run(scenario)


@pytest.mark.parametrize("kind", ["short", "link", "hard link", "open", "fifo"])
def test_what_is_no_log_of_ours_is_refused_and_said(
    pvbackd_disk: Disk, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    state, precious = tmp_path / "state", tmp_path / "precious"
    loopback = pvbackd_disk("--state-directory", state)
    content = os.urandom(8192)

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await frontend.write(0, b"w" * 512)
        loopback.kill_backend()
        (log,) = state.glob("vbd-*")
        if kind == "short":
            os.truncate(log, 100)
        elif kind == "open":
            log.chmod(0o666)
        elif kind == "fifo":
            log.unlink()
            os.mkfifo(log)
        else:
            log.unlink()
            precious.write_bytes(content)
            (log.symlink_to if kind == "link" else log.hardlink_to)(precious)
        loopback.restart_backend()
        assert await asyncio.wait_for(frontend.read(0, 1), PATIENCE) == b"w" * 512

        async def has_a_log() -> bool:
            return log.stat(follow_symlinks=False).st_mode & 0o777 == 0o600 and log.is_file()

        await until(has_a_log)
        assert not precious.exists() or precious.read_bytes() == content

    loopback.run(scenario)
    assert "the in-flight log is not used" in capfd.readouterr().err
