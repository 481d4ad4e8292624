"""What `make bench` and `make test` do before they build: ask for what is missing, make .venv."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = sys.base_prefix + "/bin/python3"
PROGRAMS = "sh cat rm mktemp dirname uname".split()


class System:
    """A PATH with only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        for name in PROGRAMS:
            found = shutil.which(name)
            assert found
            (self.path / name).symlink_to(found)
        self.add("id", "echo 1000")
        self.log = folder / "apt.log"

    def add(self, name: str, script: str) -> None:
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def add_python(self, without: str = "", version: str = "") -> None:
        """This Python, without a module or with another version."""
        lines = [f"#!{shutil.which('sh')}", 'case "$2" in']
        if without:
            lines.append(f'*"{without}"*) exit 1 ;;')
        if version:
            lines.append('*"version_info < (3, 11)"*) exit 1 ;;')
            lines.append(f'*"python_version"*) echo {version}; exit ;;')
        lines += ["esac", f'exec {PYTHON} "$@"']
        self.add("python3", "\n".join(lines[1:]))

    def add_apt(self, script: str) -> None:
        self.add("id", "echo 0")
        self.add("apt-get", f'echo "$@" >> {self.log}; if [ "$1" = install ]; then {script}; fi')

    def check(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "prerequisites", *arguments],
            env={"PATH": str(self.path), **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_all_that_is_missing_in_one_line(system: System) -> None:
    done = system.check()
    assert done.returncode == 2
    assert done.stderr == (
        "pvdrivers needs Python 3.11 or newer (there is no python3), a C compiler; "
        "on Debian: apt-get install python3 python3-venv python3-dev gcc libc6-dev\n"
    )


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("ensurepip", "Python's venv; on Debian: apt-get install python3-venv"),
        ("Python.h", "Python's headers; on Debian: apt-get install python3-dev"),
    ],
)
def test_parts_of_python(system: System, module: str, what: str) -> None:
    system.add_python(without=module)
    system.add("cc", "cat >/dev/null")
    done = system.check()
    assert done.returncode == 2
    assert done.stderr == f"pvdrivers needs {what}\n"


def test_nothing_is_missing(system: System) -> None:
    system.add_python()
    system.add("cc", "cat >/dev/null")
    done = system.check()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_old_python_is_no_package(system: System) -> None:
    system.add_python(version="3.9.2")
    system.add("cc", "cat >/dev/null")
    done = system.check()
    assert done.returncode == 2
    assert "(python3 is 3.9.2; another one is named by make PYTHON=...)" in done.stderr
    assert "apt-get" not in done.stderr


def test_packages_are_those_of_the_named_python(system: System) -> None:
    done = system.check("python3.12")
    assert "apt-get install python3.12 python3.12-venv python3.12-dev " in done.stderr


def test_a_compiler_that_was_named_and_does_not_work(system: System) -> None:
    system.add_python()
    system.add("mycc", "exit 1")
    done = system.check(CC="mycc -m64")
    assert done.stderr == "pvdrivers needs a C compiler that works (CC is mycc -m64)\n"


def test_root_gets_it_installed(system: System) -> None:
    system.add_python()
    system.add_apt(f"ln -s {shutil.which('true')} {system.path}/cc")
    (system.path / "ln").symlink_to(shutil.which("ln") or "")
    done = system.check()
    assert (done.returncode, done.stderr) == (0, "Installing gcc libc6-dev\n")
    assert system.log.read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends gcc libc6-dev",
    ]


def test_what_debian_says_when_it_cannot(system: System) -> None:
    system.add_python()
    system.add_apt("echo E: no space left; exit 100")
    done = system.check()
    assert done.returncode == 2
    assert done.stderr == (
        "Installing gcc libc6-dev\nE: no space left\n"
        "pvdrivers needs a C compiler; on Debian: apt-get install gcc libc6-dev\n"
    )


class TestVenv:
    """Whether make would make .venv again; `make -q` ends with 1 when there is something to do."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        if shutil.which("make") is None:
            pytest.skip("needs make (Debian package make)")
        tree = tmp_path / "a tree"
        tree.mkdir()
        for name in ("Makefile", "prerequisites", "pyproject.toml", "CMakeLists.txt"):
            shutil.copy(ROOT / name, tree)
        for name in ("ring", "pvdrivers", "backends", "frontends", "tools"):
            (tree / name).mkdir()
        venv.create(tree / ".venv", symlinks=True, system_site_packages=True)
        (tree / ".venv/pyvenv.cfg").touch()
        pip = next((tree / ".venv/lib").glob("python*")) / "site-packages/pip"
        pip.mkdir()
        (pip / "__init__.py").touch()
        (pip / "__main__.py").write_text("print('pip 99')\n")
        (tree / ".venv/tools").touch()
        return tree

    def up_to_date(self, tree: Path) -> bool:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        done = subprocess.run(
            ["make", "-q", "tools"], cwd=tree, env=environment, capture_output=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode == 0

    def test_a_whole_one_stays(self, tree: Path) -> None:
        assert self.up_to_date(tree)

    def test_one_whose_python_is_gone(self, tree: Path) -> None:
        for name in ("python", "python3"):
            link = tree / ".venv/bin" / name
            link.unlink()
            link.symlink_to("/nonexistent/python")
        assert not self.up_to_date(tree)

    def test_one_without_pip(self, tree: Path) -> None:
        (next((tree / ".venv/lib").glob("python*")) / "site-packages/pip/__main__.py").unlink()
        assert not self.up_to_date(tree)

    def test_one_that_was_interrupted(self, tree: Path) -> None:
        (tree / ".venv/tools").unlink()
        assert not self.up_to_date(tree)
