"""What `-m "not slow"` leaves out is some of every part, and nothing wholly."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def folders_of_tests(*options: str) -> set[str]:
    """Folders in which pytest finds a test."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-qq"]
    done = subprocess.run(
        [*command, *options, TESTS], cwd=TESTS.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.partition("::")[0].rpartition("/")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.slow
def test_the_fast_tests_cover_every_part() -> None:
    everything = folders_of_tests()
    assert len(everything) > 20
    assert folders_of_tests("-m", "not slow") == everything
