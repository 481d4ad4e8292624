"""The programs of docs/first-driver.md and its sisters do what the pages say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / f"first-{name}driver.md" for name in ("", "network-", "scsi-")]
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAMS = dict(program for page in PAGES for program in BLOCK.findall(page.read_text()))


@pytest.mark.parametrize(
    ("half", "tests"),
    [
        ("frontend", 15),
        ("backend", 5),
        ("network_frontend", 15),
        ("scsi_frontend", 15),
        ("logical_unit", 5),
    ],
)
def test_python_half(half: str, tests: int, pytester: pytest.Pytester) -> None:
    for name in (f"first_{half}.py", f"test_first_{half}.py"):
        (pytester.path / name).write_text(PROGRAMS[name])
    # The page's own command, in a folder that holds nothing else.
    run = pytester.runpytest_subprocess(f"test_first_{half}.py", "--timeout=60", "-rP")
    run.assert_outcomes(passed=tests)
    run.stdout.no_fnmatch_line("*Captured*")  # nothing is logged, nor printed, on success


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
