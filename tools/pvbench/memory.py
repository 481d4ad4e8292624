"""What memory a process takes, as the kernel counts it."""

import re
from pathlib import Path

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def resident(without: str = "no mapping has this name") -> int:
    """Bytes of this process that are in memory, but for mappings with `without` in their names."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if _MAPPING.match(line):
            counts = without not in line
        elif counts and line.startswith("Rss:"):
            total += _bytes(line)
    return total


def private_and_tables() -> int:
    """Bytes of this process's own memory, and of its page tables."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(_bytes(line) for line in lines if line.startswith(("RssAnon:", "VmPTE:")))


def _bytes(line: str) -> int:
    return int(line.split()[1]) << 10
