"""Rings, drivers and stores order memory by the primitives of one header, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADER = Path("include/pvdrivers/ring/barrier.h")
FOLDERS = ("include", "ring", "pvdrivers", "backends", "frontends", "tools")
SIMULATED_XEN = Path("pvdrivers/sim")  # plays the hypervisor's part on state of its own
PRIMITIVE = re.compile(r"__atomic_\w+|__sync_\w+|stdatomic\.h|\bm[fb]ence\b|\batomic_\w+\(")


def sources() -> list[Path]:
    return [
        path.relative_to(ROOT)
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.[ch]"))
    ]


def test_there_are_no_other_primitives() -> None:
    elsewhere = [
        f"{path}: {primitive}"
        for path in sources()
        if path != HEADER and SIMULATED_XEN not in path.parents
        for primitive in PRIMITIVE.findall((ROOT / path).read_text())
    ]
    assert elsewhere == []


def test_header_has_them() -> None:
    assert len(PRIMITIVE.findall((ROOT / HEADER).read_text())) > 20
