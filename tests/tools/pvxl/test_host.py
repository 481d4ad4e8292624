"""pvxl host run: what it serves, how it ends, and what it refuses."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pvdrivers.sim import Machine
from pvdrivers.xenstore.client import XenstoreClient

PVXL = [sys.executable, "-m", "pvdrivers.tools.pvxl"]
PVBACKD = [sys.executable, "-m", "pvdrivers.tools.pvbackd"]
BACK = "/local/domain/0/backend/vbd/1/51712"
PATIENCE = 120.0


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [*PVXL, "host", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@contextmanager
def running(*arguments: object) -> "Iterator[subprocess.Popen[str]]":
    command = [*PVXL, "host", "run", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stderr
    while text not in (line := process.stderr.readline()):
        assert line, f"it ended before {text!r}"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "web.img", tmp_path / "mail.img"]
    for image in found:
        image.write_bytes(bytes(1 << 20))
    return found


def test_guests_have_their_nodes_and_domains(tmp_path: Path, images: list[Path]) -> None:
    folder = tmp_path / "host"

    async def look() -> None:
        async with await XenstoreClient.connect(folder / "xenstore.sock") as client:
            names = [await client.read_str(f"/local/domain/{domid}/name") for domid in range(3)]
            assert names == ["Domain-0", "web", "mail"]
            assert await client.read_str("/local/pool/0/name") == "Pool-0"
            assert await client.read_str(f"{BACK}/params") == str(images[0])
            assert await client.read_str(f"{BACK}/mode") == "w"

    with running(folder, "--guest", f"web={images[0]}", "--guest", f"mail={images[1]}") as host:
        read_until(host, "pvbackd run")
        asyncio.run(look())
        machine = Machine.attach(folder / "machine.sock")
        privileged = [machine.domain(domid).info.privileged for domid in range(3)]
        assert privileged == [True, False, False]
        machine.close()
        assert folder.stat().st_mode & 0o077 == 0
        host.send_signal(signal.SIGTERM)
        assert host.wait(PATIENCE) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["host.lock"]


@pytest.mark.slow
def test_it_says_when_a_disk_goes(tmp_path: Path, images: list[Path]) -> None:
    """A toolstack unplugs the disk of a guest that uses it."""
    folder = tmp_path / "host"
    sockets = ["--machine", folder / "machine.sock", "--xenstore", folder / "xenstore.sock"]

    async def unplug() -> None:
        async with await XenstoreClient.connect(folder / "xenstore.sock") as client:
            await client.write(f"{BACK}/online", "0")
            await client.write(f"{BACK}/state", "5")

    with running(folder, "--guest", f"web={images[0]}") as host:
        read_until(host, "pvbackd run")
        with subprocess.Popen([*PVBACKD, "run", *map(str, sockets)]) as daemon:
            try:
                read_until(host, "web: xvda is connected, 2048 sectors")
                asyncio.run(unplug())
                read_until(host, "web: xvda is clos")
            finally:
                daemon.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)]
)
def test_a_command_ends_it(tmp_path: Path, script: str, status: int) -> None:
    done = run(tmp_path / "host", "--", "sh", "-c", script)
    assert done.returncode == status


def test_the_command_finds_the_machine(tmp_path: Path) -> None:
    """As the drop-in libraries and Xen's tools would."""
    program = (
        "import os; from pvdrivers.sim import Machine; "
        "print(Machine.attach(os.environ['PVDRIVERS_MACHINE']).domain(0).info.privileged, "
        "os.path.exists(os.environ['XENSTORED_PATH']))"
    )
    done = run(tmp_path / "host", "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    script = "trap 'exit 9' TERM; echo ready >&2; while :; do sleep 0.1; done"
    with running(tmp_path / "host", "--", "sh", "-c", script) as host:
        read_until(host, "ready")
        host.terminate()
        assert host.wait(PATIENCE) == 9


@pytest.mark.slow
def test_one_host_to_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "host"
    with running(folder) as host:
        read_until(host, "pvbackd run")
        second = run(folder)
        assert second.returncode == 2
        assert second.stderr == f"pvxl: {folder} is in use by process {host.pid}\n"
        host.kill()
        host.wait()
        done = run(folder, "--", "true")  # what the killed one left is no hindrance
        assert done.returncode == 0, done.stderr


Arguments = Callable[[Path], list[object]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (lambda p: [p / "h", "--guest", "web"], "--guest web: write NAME=IMAGE, as in"),
        (lambda p: [p / "h", "--guest", "a b=x"], "--guest a b=x: write NAME=IMAGE"),
        (lambda p: [p / "h", "--guest", f"web={p}/no.img"], "truncate --size 64M"),
        (
            lambda p: [p / "h", "--guest", f"web={p}/web.img", "--guest", f"web={p}/mail.img"],
            "--guest web: two guests have this name",
        ),
        (lambda p: [p / "h", "--", "no-such-command"], "no-such-command cannot be run"),
        (lambda p: [p / "web.img"], "web.img: File exists"),
        (lambda p: [p / ("x" * 100)], "File name too long"),
        (lambda p: [], "DIRECTORY"),
    ],
)
def test_refusals(tmp_path: Path, images: list[Path], arguments: Arguments, why: str) -> None:
    done = run(*arguments(tmp_path))
    assert done.returncode == 2
    complaints = [line for line in done.stderr.splitlines() if line.startswith("pvxl: ")]
    assert len(complaints) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert why in complaints[0]
