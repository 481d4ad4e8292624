"""Our disk answers the commands of docs/measurements/scsi-oracles.md as that page says; `make
oracles` asks the others too."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "oracles.py"


def test_our_column() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
