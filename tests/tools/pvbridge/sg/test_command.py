"""`pvbridge sg` and `pvsg` as they are typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pvdrivers.tools.pvbridge.sg.folder import VARIABLE, socket_path
from pvdrivers.tools.pvbridge.sg.preload import LIBRARY, preloaded

PVBRIDGE = (sys.executable, "-m", "pvdrivers.tools.pvbridge", "sg")
PVSG = (sys.executable, "-m", "pvdrivers.tools.pvbridge.sg.preload")
OPEN = "import os; os.open('/dev/pvsg/{}/0:0:0:1', os.O_RDWR)"
PATIENCE = 120  # seconds


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, VARIABLE: str(folder)}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=environment(folder), capture_output=True, text=True, timeout=PATIENCE
    )


def opens(folder: Path, name: str = "guest") -> bool:
    return run(folder, *PVSG, sys.executable, "-c", OPEN.format(name)).returncode == 0


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    words = [*PVBRIDGE, "--lun", "1=ram:1M", *options]
    with subprocess.Popen(
        words, env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("/dev/pvsg/")
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_until_it_is_told_to_end(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        assert opens(tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "guest.sock").exists()
    assert not opens(tmp_path)


@pytest.mark.slow
def test_a_second_one_says_who_has_the_name_and_a_successor_takes_it(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        second = run(tmp_path, *PVBRIDGE, "--lun", "1=ram:1M")
        assert (second.returncode, second.stdout) == (2, "")
        assert f"guest.sock is in use by process {first.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert opens(tmp_path)
        with serving(tmp_path, "--name", "other"):
            assert opens(tmp_path, "other")
    assert (tmp_path / "guest.sock").exists()  # it was killed
    assert not opens(tmp_path)
    with serving(tmp_path):
        assert opens(tmp_path)


@pytest.mark.slow
def test_while_a_command_runs(tmp_path: Path) -> None:
    look = f"{OPEN.format('one')}; {OPEN.format('two')}; raise SystemExit(7)"
    words = ("--lun", "1=ram:1M", "--name", "one", "--name", "two", "--")
    done = run(tmp_path, *PVBRIDGE, *words, sys.executable, "-c", look)
    assert (done.returncode, done.stderr) == (7, "")
    assert not list(tmp_path.glob("*.sock"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--lun", "0=ram:1M", "--name", "../x"], "--name '../x': write up to 64 letters"),
        (["--lun", "0=ram:1M", "--name", "a", "--name", "a"], "--name a: two guests"),
        ([], "there is no --lun"),
        (["--lun", "0=ram:1M", "--", "/nowhere/x"], "/nowhere/x cannot be run: No such file"),
    ],
)
@pytest.mark.slow
def test_mistakes(tmp_path: Path, options: list[str], sentence: str) -> None:
    done = run(tmp_path, *PVBRIDGE, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pvsg(tmp_path: Path) -> None:
    none = run(tmp_path, *PVSG)
    assert (none.returncode, none.stdout) == (2, "")
    assert "there is no command" in none.stderr
    unknown = run(tmp_path, *PVSG, "/nowhere/x")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "pvsg: /nowhere/x cannot be run: No such file or directory\n",
    )
    assert "pvsg COMMAND" in run(tmp_path, *PVSG, "--help").stdout
    exits = run(tmp_path, *PVSG, "sh", "-c", "exit 5")
    assert exits.returncode == 5


def test_the_library_comes_before_others() -> None:
    assert preloaded({"LD_PRELOAD": "other.so", "A": "b"}) == {
        "LD_PRELOAD": f"{LIBRARY}:other.so",
        "A": "b",
    }


def test_the_library_needs_the_c_library_alone() -> None:
    """Whatever else it needed would come into every program that it is preloaded to."""
    listed = subprocess.check_output(["ldd", LIBRARY], text=True)
    names = {line.split()[0].rsplit("/")[-1].split("-")[0] for line in listed.splitlines()}
    assert {name.split(".")[0] for name in names} <= {"linux", "libc", "ld"}


# ---- where sockets are -------------------------------------------------------------------------


def test_the_folder_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert socket_path("a") == tmp_path / "pvsg" / "a.sock"
    assert (tmp_path / "pvsg").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other"))
    assert socket_path("a") == tmp_path / "other" / "a.sock"
    monkeypatch.setenv(VARIABLE, str(tmp_path / ("x" * 100)))
    with pytest.raises(ValueError, match="too long for a socket"):
        socket_path("a")
