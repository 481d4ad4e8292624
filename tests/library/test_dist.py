"""What `make dist` makes: sources that build alone, and a wheel for other systems."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(*command: object) -> str:
    done = subprocess.run(
        list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it alone."""
    if not importlib.util.find_spec("build"):
        pytest.skip("needs `make dist`'s packages")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (plain,) = built.glob("*.whl")
    run("auditwheel", "repair", "--wheel-dir", built / "repaired", plain)
    (repaired,) = (built / "repaired").iterdir()
    return repaired


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_source_has_no_products_and_all_manuals(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CMakeLists.txt", "docs/first-driver.md"} <= names
    products = (".so", ".pyc", ".o", ".whl")
    assert not [
        n for n in names if n.startswith(("build/", ".venv", ".ci")) or n.endswith(products)
    ]


def test_the_wheel_names_the_libc_it_needs(wheel: Path) -> None:
    assert "-manylinux_2_" in wheel.name


def test_repairing_adds_nothing(built: Path, wheel: Path) -> None:
    """All libraries it needs are its own or every system's."""
    (plain,) = built.glob("*.whl")
    assert files_of(wheel) == files_of(plain)


def test_it_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, "-m", "pip", "check")
    program = (
        "from functools import partial\n"
        "from pvdrivers.backends.stores.store import RamStore\n"
        "from pvdrivers.testing.vbd.loopback import VbdLoopback\n"
        "async def scenario(frontend):\n"
        "    await frontend.write(3, b'x' * 512)\n"
        "    print(await frontend.read(3, 1) == b'x' * 512)\n"
        "with VbdLoopback(partial(RamStore, 1 << 20), mode='deterministic', seed=1) as loopback:\n"
        "    loopback.run(scenario)\n"
    )
    assert run(python, "-I", "-c", program) == "True\n"
    assert run(tmp_path / "bin/pvbackd", "--version").strip() in wheel.name
