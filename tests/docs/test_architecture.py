"""ARCHITECTURE.md's rule that imports run downwards only, held against every import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ring", "pvdrivers", "backends", "frontends", "tools")

# What each part may import beside itself. `testing` stands above both halves of a driver.
BELOW = {
    "ring": set(),
    "pvdrivers": {"ring"},
    "backends": {"ring", "pvdrivers"},
    "frontends": {"ring", "pvdrivers"},
    "testing": {"ring", "pvdrivers", "backends", "frontends"},
    "tools": {"ring", "pvdrivers", "backends", "frontends", "testing"},
}
EXTENSION = "pvdrivers._core"  # the C core, which every part has a share in
# The seam: drivers, and what both halves share, see no particular hypervisor.
HYPERVISORS = {"pvdrivers.sim", "pvdrivers.native"}


def part_of(module: str) -> str:
    """The part of an absolute module name such as pvdrivers.ring.abi."""
    second = module.split(".")[1] if "." in module else ""
    return second if second in BELOW else "pvdrivers"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written absolute"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] == "pvdrivers"} - {EXTENSION}


SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_there_are_sources() -> None:
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    folder, *rest = path.relative_to(ROOT).parts
    part = "testing" if folder == "pvdrivers" and rest[0] == "testing" else folder
    for module in imports(path):
        assert part_of(module) in BELOW[part] | {part}, f"{path} imports {module}"
    if part in ("backends", "frontends"):
        hypervisors = {
            name for name in imports(path) if ".".join(name.split(".")[:2]) in HYPERVISORS
        }
        assert not hypervisors
