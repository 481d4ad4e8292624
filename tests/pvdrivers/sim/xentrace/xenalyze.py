"""Debian's xenalyze on a trace: what it complains of, and its sums."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

needs_xenalyze = pytest.mark.skipif(
    not shutil.which("xenalyze"), reason="needs xenalyze (Debian package xen-utils-common)"
)
# All that it says of a real trace, and of its own progress.
NOT_A_COMPLAINT = re.compile(
    r"Using VMX hardware-assisted virtualization|scan_for_new_pcpu: Activating pcpu"
    r"|Creating (domain|vcpu) \d+|init_pcpus: through first trace write|Using first_tsc for"
    r"|First schedule for \w+ doesn't take us into a running state; leaving INIT"
    r"|read_record: read returned zero, deactivating pcpu|deactivate_pcpu: [sS]etting"
)
Totals = dict[tuple[int, int], dict[str, tuple[int, int]]]


def run_xenalyze(path: Path, option: str) -> str:
    """What it prints, with a TSC of 1 GHz; it must not complain."""
    command = ["xenalyze", option, "--cpu-hz", "1G", path]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    complaints = [line for line in run.stderr.splitlines() if not NOT_A_COMPLAINT.match(line)]
    assert (run.returncode, complaints) == (0, [])
    return run.stdout


def shape(summary: str) -> set[str]:
    """The names in front of figures, and the headings, of a summary."""
    names = set()
    for line in summary.splitlines():
        name, colon, _ = line.partition(":")
        if colon and not re.match(r" *\[\d+\]", name):
            names.add(name.strip())
    return names


def totals(summary: str) -> Totals:
    """How often each vcpu was in each state, and for how many ns in all, up to one ns each time."""
    found: Totals = defaultdict(dict)
    domid = vcpu = -1
    for line in summary.splitlines():
        if heading := re.match(r"\|-- Domain (\d+) --\|", line):
            domid, vcpu = int(heading[1]), -1
        elif heading := re.match(r"-- v(\d+) --", line):
            vcpu = int(heading[1])
        elif vcpu >= 0 and (
            row := re.match(r" +(running|runnable|blocked|offline): +(\d+) +[\d.]+s +(\d+) ", line)
        ):
            found[domid, vcpu][row[1]] = int(row[2]), int(row[2]) * int(row[3])
    return found
