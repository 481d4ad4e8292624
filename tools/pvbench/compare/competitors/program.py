"""Programs that measure and print what they found."""

import subprocess
from pathlib import Path

from pvdrivers.tools.pvbench.errors import BenchError

PATIENCE = 30.0  # seconds beyond the time a run was given


def output(command: list[str], seconds: float) -> str:
    """What a program prints. Raises BenchError, with its last words, when it fails."""
    limit = seconds + PATIENCE
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{Path(command[0]).name} did not end in time") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [
            "no reason given"
        ]
        raise BenchError(f"{Path(command[0]).name} failed: {words[0]}")
    return done.stdout
