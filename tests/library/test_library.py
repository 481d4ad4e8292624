"""The installed C library, as programs outside the tree find it: no Python, wherever it lies."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STRICT = ["-Wall", "-Wextra", "-Werror"]
PAGE = (ROOT / "docs" / "first-driver.md").read_text()
C_PROGRAM = re.findall(r"^```c first_frontend.c\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
# What README and the page tell to type.
COMMAND = "cmake -B build && cmake --build build && cmake --install build"


def need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program} (Debian package {package})")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library lies, which is not where it was installed."""
    need("cmake", "cmake")
    folder = tmp_path_factory.mktemp("library")
    build, first = folder / "build", folder / "first"
    steps = COMMAND.replace("cmake -B", f"cmake -S {ROOT} -DCMAKE_INSTALL_PREFIX={first} -B")
    steps = steps.replace("--build build", "--build build --parallel 2")
    steps = re.sub(r"\bbuild\b(?= &&|$| --p)", str(build), steps)
    done = subprocess.run(steps, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return first.rename(folder / "moved")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody else's."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "first_frontend.c").write_text(C_PROGRAM)
    for name in ("CMakeLists.txt", "frontend.cpp"):
        shutil.copy(HERE / name, folder)
    return folder


def library_folder(prefix: Path) -> Path:
    (library,) = prefix.glob("lib*/**/libpvdrivers.so")
    return library.parent


def check_output(program: Path) -> None:
    """The program wrote a sector to a disk, and read it back."""
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 requests, 0 errors" in done.stdout


@pytest.mark.parametrize(
    ("compiler", "source"),
    [(["cc", "-std=c11"], "first_frontend.c"), (["c++", "-std=c++17"], "frontend.cpp")],
    ids=["c", "c++"],
)
def test_pkg_config(prefix: Path, sources: Path, compiler: list[str], source: str) -> None:
    need("pkg-config", "pkg-config")
    need(compiler[0], "g++")
    where = library_folder(prefix)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", f"pvdrivers = {VERSION}"],
        env={"PKG_CONFIG_PATH": str(where / "pkgconfig"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    program = sources / f"by_pkg_config_{source}.out"
    command = [*compiler, *STRICT, source, *flags, f"-Wl,-rpath,{where}", "-o", program]
    subprocess.run(command, cwd=sources, check=True)
    check_output(program)


def test_every_part_has_the_version(prefix: Path) -> None:
    where = library_folder(prefix)
    package = (where / "cmake/pvdrivers/pvdriversConfigVersion.cmake").read_text()
    assert f'set(PACKAGE_VERSION "{VERSION}")' in package
    assert f"\nVersion: {VERSION}\n" in (where / "pkgconfig/pvdrivers.pc").read_text()
    assert (where / "libpvdrivers.so").resolve().name == f"libpvdrivers.so.{VERSION}"


def test_find_package(prefix: Path, sources: Path) -> None:
    need("c++", "g++")
    build = sources / "build"
    for command in (
        ["cmake", "-S", sources, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"],
        ["cmake", "--build", build],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for program in ("in_c", "in_cxx"):
        check_output(build / program)


def test_another_minor_version_is_not_found(prefix: Path, tmp_path: Path) -> None:
    need("c++", "g++")
    text = (HERE / "CMakeLists.txt").read_text().replace("pvdrivers 0.1", "pvdrivers 0.2")
    (tmp_path / "CMakeLists.txt").write_text(text)
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert VERSION in done.stderr


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
def test_each_header_alone_is_c_plus_plus(prefix: Path, tmp_path: Path, standard: str) -> None:
    need("c++", "g++")
    headers = sorted((prefix / "include").rglob("*.h"))
    assert len(headers) > 20
    for header in headers:
        name = header.relative_to(prefix / "include")
        source = tmp_path / f"{header.stem}.cpp"
        source.write_text(f'#include "{name}"\n')
        command = ["c++", f"-std={standard}", *STRICT, "-fsyntax-only", f"-I{prefix}/include"]
        subprocess.run([*command, source], check=True)


def test_only_public_headers_are_installed(prefix: Path) -> None:
    public = {path.relative_to(ROOT) for path in (ROOT / "include").rglob("*.h")}
    assert {path.relative_to(prefix) for path in prefix.rglob("*.h")} == public


@pytest.mark.parametrize("page", ["README.md", "docs/first-driver.md"])
def test_the_command_is_the_documented_one(page: str) -> None:
    assert COMMAND in (ROOT / page).read_text()
