"""What `-m "not slow"` leaves out is some of every part, and nothing wholly."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def parts_with_tests(*options: str) -> set[str]:
    """Parts in which pytest finds a test, such as tests/pvdrivers/sim."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-qq"]
    done = subprocess.run(
        [*command, *options, TESTS], cwd=TESTS.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = [line.partition(":")[0] for line in done.stdout.splitlines() if line]
    return {"/".join(Path(file).parent.parts[:3]) for file in files}


@pytest.mark.slow
def test_the_fast_tests_cover_every_part() -> None:
    everything = parts_with_tests()
    assert len(everything) > 20
    assert parts_with_tests("-m", "not slow") == everything
