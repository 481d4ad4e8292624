"""One daemon for each backend domain, state directory and control socket."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.tools.pvbackd import daemon

from .conftest import PATIENCE, PVBACKD

pytestmark = pytest.mark.slow

Disk = Callable[..., VbdLoopback]
Status = Callable[[], Awaitable[list[str]]]


def machine_of(loopback: VbdLoopback) -> list[str]:
    """The options that name the machine which the loopback's daemon serves."""
    arguments = [str(argument) for argument in loopback.daemon.args]  # type: ignore[union-attr]
    return [text for text in arguments if text.startswith(("--machine=", "--xenstore="))]


async def refusal(*arguments: object) -> str:
    """What a daemon that does not start says."""
    run = await asyncio.to_thread(
        subprocess.run,
        [*PVBACKD, "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    complaints = [line for line in run.stderr.splitlines() if line.startswith("pvbackd: ")]
    assert len(complaints) == 1, run.stderr
    assert "Traceback" not in run.stderr
    return complaints[0]


def test_a_second_one_says_who_holds_what_and_harms_nothing(
    pvbackd_disk: Disk, status: Status, tmp_path: Path
) -> None:
    control, state = tmp_path / "control", tmp_path / "state"
    first = pvbackd_disk("--control", control, "--state-directory", state)
    states: list[str] = []

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        queues, pid = frontend.queues, f"in use by process {first.daemon.pid}"

        async def look(end: str) -> None:
            async with await first.toolstack.watch(f"{end}/state") as watch:
                async for _ in watch:
                    states.append(await first.toolstack.read_str(f"{end}/state"))

        looks = [
            asyncio.ensure_future(look(end))
            for end in (first.config.backend_path, first.config.frontend_path)
        ]
        writes = asyncio.ensure_future(write_on(frontend))
        machine, elsewhere = machine_of(first), f"--domid={first.guest.domid}"
        own = f"--control={tmp_path}/other", f"--state-directory={tmp_path}/other.state"

        complaint = await refusal(*machine, *own)
        assert f"backend domain 0 of {machine[0].removeprefix('--machine=')}" in complaint
        assert pid in complaint
        # A daemon of another domain, with something that is the first one's.
        complaint = await refusal(*machine, elsewhere, own[0], "--state-directory", state)
        assert f"state directory {state}" in complaint
        assert pid in complaint
        complaint = await refusal(*machine, elsewhere, "--control", control, own[1])
        assert f"control socket {control}" in complaint
        assert pid in complaint

        assert len(await status()) == 1
        writes.cancel()
        await asyncio.wait([writes])
        assert await frontend.read(0, 1) == b"w" * 512
        assert frontend.queues == queues
        assert set(states) == {"4"}
        for task in looks:
            task.cancel()

    first.run(scenario)


async def write_on(frontend: Any) -> None:
    while True:
        await frontend.write(0, b"w" * 512)


def test_another_domain_is_another_daemons(pvbackd_disk: Disk, tmp_path: Path) -> None:
    first = pvbackd_disk("--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        second = [*PVBACKD, "run", *machine_of(first), f"--domid={first.guest.domid}", "--run=true"]
        run = await asyncio.to_thread(subprocess.run, second, timeout=PATIENCE)
        assert run.returncode == 0
        assert await frontend.read(0, 1) == bytes(512)

    first.run(scenario)


def test_the_successor_of_a_killed_one_starts_at_once(pvbackd_disk: Disk, tmp_path: Path) -> None:
    """Also before anybody has waited for the dead one, as a shell's `kill -9; pvbackd` has it."""
    loopback = pvbackd_disk("--control", tmp_path / "control")

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        for _ in range(5):
            loopback.daemon.kill()
            loopback.restart_backend()
            await asyncio.wait_for(frontend.read(0, 1), PATIENCE)

    loopback.run(scenario)


def test_a_living_programs_socket_is_not_stolen(pvbackd_disk: Disk, tmp_path: Path) -> None:
    loopback = pvbackd_disk()
    path = tmp_path / "precious"
    with socket.socket(socket.AF_UNIX) as precious:
        precious.bind(str(path))
        precious.listen()

        async def scenario(frontend: Any) -> None:
            elsewhere = f"--domid={loopback.guest.domid}"
            complaint = await refusal(*machine_of(loopback), elsewhere, "--control", path)
            assert str(path) in complaint
            assert path.is_socket()
            missing = tmp_path / "missing"
            complaint = await refusal(
                *machine_of(loopback), elsewhere, "--control", missing / "control"
            )
            assert f"there is no folder {missing}: make it" in complaint
            text = tmp_path / "text"
            text.write_text("content")
            complaint = await refusal(*machine_of(loopback), elsewhere, "--control", text)
            assert f"{text}: " in complaint
            assert text.read_text() == "content"

        loopback.run(scenario)


def test_on_a_real_xen_all_daemons_agree_on_one_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "RUN_FOLDER", tmp_path / "run")

    async def main() -> None:
        async with daemon.Target().lock():
            with pytest.raises(UsageError, match=f"by process {os.getpid()}"):
                async with daemon.Target(
                    domid=5
                ).lock():  # it is Xen that says which domain this is
                    raise AssertionError

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["link", "open", "file"])
def test_a_state_directory_of_others_is_refused(
    pvbackd_disk: Disk, tmp_path: Path, kind: str
) -> None:
    loopback = pvbackd_disk()
    state = tmp_path / "state"
    if kind == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        state.symlink_to(tmp_path / "real")
    elif kind == "open":
        state.mkdir()
        state.chmod(0o777)
    else:
        state.write_text("")
    way_out = {"link": f"name {tmp_path}/real", "open": "chmod 700", "file": "no directory"}[kind]

    async def scenario(frontend: Any) -> None:
        elsewhere = f"--domid={loopback.guest.domid}"
        complaint = await refusal(*machine_of(loopback), elsewhere, "--state-directory", state)
        assert str(state) in complaint
        assert way_out in complaint

    loopback.run(scenario)


def test_a_state_directory_of_another_user_is_refused(pvbackd_disk: Disk, tmp_path: Path) -> None:
    """It takes root to make one."""
    script = """
import os, pathlib, sys
os.geteuid = lambda: os.getuid() + 1
from pvdrivers.tools.pvbackd.__main__ import main
main(sys.argv[1:])
"""
    loopback = pvbackd_disk()
    (tmp_path / "state").mkdir(mode=0o700)

    async def scenario(frontend: Any) -> None:
        arguments = [*machine_of(loopback), f"--domid={loopback.guest.domid}"]
        run = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, *arguments, f"--state-directory={tmp_path}/state"],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 2
        assert "belongs to user" in run.stderr

    loopback.run(scenario)
