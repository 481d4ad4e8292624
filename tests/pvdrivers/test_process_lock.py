"""Which process gets the lock, what the others are told, and that a killed one releases it."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvdrivers.process_lock import lock_holder, process_lock
from pvdrivers.ring.errors import UsageError

HOLDER = """
import asyncio, sys
from pathlib import Path
from pvdrivers.process_lock import process_lock

async def main():
    async with process_lock(Path(sys.argv[1]), "the thing"):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the holder lives on, so that there is nothing to wait for."""
    monkeypatch.setattr("pvdrivers.process_lock.PATIENCE", 0.0)


async def take(path: Path) -> None:
    async with process_lock(path, "the thing"):
        return


@pytest.mark.slow
def test_the_second_is_told_who_has_it_and_death_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=f"the thing is in use by process {holder.pid}$"):
            asyncio.run(take(path))
        holder.kill()  # not waited for: the next one has to see the death through
        asyncio.run(take(path))


def test_others_can_tell_who_has_it(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "lock"
        assert lock_holder(path) is None
        async with process_lock(path, "the thing"):
            assert lock_holder(path) == os.getpid()
            path.write_text("")  # as a full disk leaves it
            assert lock_holder(path) == 0
        assert lock_holder(path) is None

    asyncio.run(main())


def test_it_is_released_and_taken_again(tmp_path: Path, impatient: None) -> None:
    async def main() -> None:
        for _ in range(2):
            async with process_lock(tmp_path / "lock", "the thing"):
                with pytest.raises(UsageError, match=str(os.getpid())):
                    await take(tmp_path / "lock")

    asyncio.run(main())


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("content")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"):
        asyncio.run(take(tmp_path / "lock"))
    assert (tmp_path / "precious").read_text() == "content"


def test_a_full_disk_keeps_no_process_from_it(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> None:
        async with process_lock(tmp_path / "lock", "the thing"):
            with pytest.raises(UsageError, match="in use by process unknown"):
                await take(tmp_path / "lock")

    monkeypatch.setattr(os, "pwrite", full)
    asyncio.run(main())
