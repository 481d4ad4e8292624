"""A process that has a domain's view and uses CPU time."""

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys, time
from pvdrivers.sim import Machine
machine = Machine.attach(sys.argv[1])
view = machine.open_hypervisor(int(sys.argv[2]))
end = time.process_time_ns() + int(sys.argv[3])
while time.process_time_ns() < end:
    pass
print("burned", flush=True)
sys.stdin.read()
"""


def start_burner(machine: Path, domid: int, ns: int) -> subprocess.Popen[bytes]:
    """Says so when it has used so much, and then waits."""
    arguments = [sys.executable, "-c", _PROGRAM, str(machine), str(domid), str(ns)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
