"""The programs of docs/first-driver.md do what the page says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "first-driver.md"
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAMS = dict(BLOCK.findall(PAGE.read_text()))


@pytest.mark.parametrize(("half", "tests"), [("frontend", 15), ("backend", 5)])
def test_python_half(half: str, tests: int, pytester: pytest.Pytester) -> None:
    for name in (f"first_{half}.py", f"test_first_{half}.py"):
        (pytester.path / name).write_text(PROGRAMS[name])
    # The page's own command, in a folder that holds nothing else.
    run = pytester.runpytest_subprocess(f"test_first_{half}.py", "--timeout=60")
    run.assert_outcomes(passed=tests)


def build_and_run(flags: list[str], folder: Path) -> None:
    source, program = folder / "first_frontend.c", folder / "first_frontend"
    source.write_text(PROGRAMS["first_frontend.c"])
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *strict, source, *flags, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("blkback")


def test_c_frontend(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "pvdrivers", "--cflags", "--libs"]
    flags = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    build_and_run(flags, tmp_path)


def test_library_without_python(tmp_path: Path) -> None:
    """What `cmake --install` alone puts into a prefix is enough."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake (Debian package cmake)")
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    source = Path(__file__).parents[2]
    for command in (
        ["cmake", "-S", source, "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}"],
        ["cmake", "--build", build, "--parallel", "2"],
        ["cmake", "--install", build],
    ):
        subprocess.run(command, check=True, capture_output=True)
    (library,) = prefix.glob("lib*/**/libpvdrivers.so")
    where = library.parent
    build_and_run(
        [f"-I{prefix}/include", f"-L{where}", f"-Wl,-rpath,{where}", "-lpvdrivers"], tmp_path
    )
