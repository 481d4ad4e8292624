"""What the wheel carries: each thing once, and of the headers the public ones.

The package under test was installed from a wheel, whose list of files and hashes is kept with it.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

ROOT = Path(__file__).parents[2]
CARRIED = [f for f in files("pvdrivers") or [] if f.parts[0] == "pvdrivers" and f.suffix != ".pyc"]
NAMES = [str(path) for path in CARRIED]


def test_public_headers_only() -> None:
    public = {f"pvdrivers/{h.relative_to(ROOT)}" for h in (ROOT / "include").rglob("*.h")}
    assert len(public) > 20
    assert {name for name in NAMES if name.endswith(".h")} == public


def test_the_library_once() -> None:
    libraries = [name for name in NAMES if "libpvdrivers.so" in name]
    assert libraries == ["pvdrivers/lib/libpvdrivers.so"]


def test_nothing_is_carried_twice() -> None:
    by_hash: dict[str, list[str]] = {}
    for path in CARRIED:
        assert path.hash is not None
        if path.size:
            by_hash.setdefault(path.hash.value, []).append(str(path))
    assert [names for names in by_hash.values() if len(names) > 1] == []


def test_no_sources() -> None:
    for name in NAMES:
        assert not name.endswith((".c", ".in", ".map", "CMakeLists.txt", "build_core.py")), name


def test_it_finds_its_library_wherever_it_lies(tmp_path: Path) -> None:
    """No path of the machine that built it is left in the extension or the drop-in libraries."""
    site = tmp_path / "a folder"
    package = CARRIED[0].locate().parents[len(CARRIED[0].parts) - 2]
    shutil.copytree(package, site / "pvdrivers")
    program = """
import pvdrivers
from pvdrivers.sim import Machine
print(pvdrivers.__file__, Machine().free_memory > 0)
lines = [line.strip() for line in open("/proc/self/maps") if "libpvdrivers" in line]
print({line.split(maxsplit=5)[5] for line in lines})
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("LD_LIBRARY_PATH", None)
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{site}/pvdrivers/__init__.py True\n{{'{site}/pvdrivers/lib/libpvdrivers.so'}}\n"
    )
