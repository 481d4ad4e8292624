"""pvxl host: a host is started, stopped, or there while a command runs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.pvxl.command import PATIENCE, PVXL, Pvxl
from tests.until import has_ended

pytestmark = pytest.mark.slow

XL = "/usr/lib/xen-4.17/bin/xl"
Arguments = Callable[[Path], list[object]]


def pid_of(pvxl: Pvxl) -> int:
    return int((pvxl.folder / "host.lock").read_text())


def test_it_starts_in_the_background_and_leaves_nothing(tmp_path: Path) -> None:
    pvxl = Pvxl(tmp_path / "host")
    assert pvxl("host", "start") == f"A host runs in {pvxl.folder}\n"
    assert pvxl.folder.stat().st_mode & 0o077 == 0
    assert pvxl.domains() == {"Domain-0": "-b----"}
    pid = pid_of(pvxl)
    pvxl("host", "stop")
    assert list(tmp_path.iterdir()) == []
    assert has_ended(pid)


def test_one_host_to_a_folder(pvxl: Pvxl) -> None:
    pid = pid_of(pvxl)
    assert pvxl.refused("host", "start") == f"{pvxl.folder} is in use by process {pid}"
    assert pvxl.domains() == {"Domain-0": "-b----"}


def test_what_a_killed_host_has_left_is_no_hindrance(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    os.kill(pid_of(pvxl), signal.SIGKILL)
    assert "no host runs in" in pvxl.refused("list")
    assert "no host runs in" in pvxl.refused("host", "stop")
    pvxl("host", "start")
    assert pvxl.domains() == {"Domain-0": "-b----"}


def test_pvbackd_and_the_launcher_are_started_again(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    lock = pvxl.folder / "control.sock.lock"
    before = lock.read_text()
    os.kill(int(before), signal.SIGKILL)
    pvxl("create", config, 'name="mail"', "disk=[]")  # it waits for a backend
    assert lock.read_text() != before
    assert pvxl.domains() == {"Domain-0": "-b----", "web": "-b----", "mail": "-b----"}


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)]
)
def test_a_command_ends_it(tmp_path: Path, script: str, status: int) -> None:
    pvxl = Pvxl(tmp_path / "host")
    assert pvxl.run("host", "run", "--", "sh", "-c", script).returncode == status
    assert list(tmp_path.iterdir()) == []


def test_the_command_finds_the_host(tmp_path: Path) -> None:
    """As the drop-in libraries and Xen's tools would."""
    program = (
        "import os; from pvdrivers.sim import Machine; "
        "print(Machine.attach(os.environ['PVDRIVERS_MACHINE']).domain(0).info.privileged, "
        "os.path.exists(os.environ['XENSTORED_PATH']))"
    )
    pvxl = Pvxl(tmp_path / "host")
    assert pvxl("host", "run", "--", sys.executable, "-c", program) == "True True\n"


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    script = "trap 'exit 9' TERM; echo ready >&2; while :; do sleep 0.1; done"
    command = [*PVXL, "host", "run", f"--host={tmp_path}/host", "--", "sh", "-c", script]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as host:
        assert host.stderr
        while "ready" not in host.stderr.readline():
            assert host.poll() is None
        host.terminate()
        assert host.wait(PATIENCE) == 9


@pytest.mark.skipif(not Path(XL).exists(), reason="needs xl (Debian package xen-utils-4.17)")
def test_debians_xl_finds_it_by_pvxl_env(pvxl: Pvxl, config: Path) -> None:
    pvxl("create", config)
    script = f'eval "$({" ".join(PVXL)} env --host={pvxl.folder})"; xl list; xl shutdown -w web'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    heading, *domains = done.stdout.splitlines()[:3]
    assert heading == pvxl("list").splitlines()[0]
    assert [line.split()[:5] for line in domains] == [
        ["Domain-0", "0", "64", "2", "-b----"],
        ["web", "1", "16", "2", "-b----"],
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (lambda p: ["host", "run", "--", "no-such-command"], "no-such-command cannot be run"),
        (lambda p: ["host", "start", "--memory=much"], "much"),
        (lambda p: ["host", "start", "--cpus=5000"], "5000 CPUs are not 0 to"),
        (lambda p: ["list"], "no host runs in"),
        (lambda p: ["host", "stop"], "no host runs in"),
    ],
)
def test_refusals(tmp_path: Path, arguments: Arguments, why: str) -> None:
    assert why in Pvxl(tmp_path / "host").refused(*arguments(tmp_path))
    assert not (tmp_path / "host").exists()


def test_a_lock_without_a_process_is_told(pvxl: Pvxl) -> None:
    """As a full disk leaves it."""
    lock = pvxl.folder / "host.lock"
    pid = lock.read_text()
    lock.write_text("")
    assert "does not say which process the host is" in pvxl.refused("host", "stop")
    lock.write_text(pid)


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    sentence = Pvxl(tmp_path).refused("host", "start")
    assert sentence == f"{tmp_path} has files that are no host's: name another folder"
    assert Pvxl(tmp_path / "letter.txt").refused("host", "start").endswith("File exists")
    shutil.rmtree(tmp_path)
