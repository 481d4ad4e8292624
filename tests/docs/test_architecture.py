"""ARCHITECTURE.md's rules about who may know whom, held against every import and every include.

Each part lists what it may use beside itself; what is not listed is not allowed. A part is a
folder, or a file that lies between folders.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ring", "pvdrivers", "backends", "frontends", "tools")
DEVICE_CLASSES = ("vbd", "vnif", "scsi", "console")

# ---- Python ------------------------------------------------------------------

# Both halves, and what they share, see a hypervisor through the seam (pvdrivers.hypervisor) alone.
SEAM = {"ring", "hypervisor"}
SHARED = SEAM | {"background", "daemon_threads", "process_lock", "xenstore", "xenbus", "poll"}
DEVICE_CLASS = {"ring", "xenstore", "xenbus", "toolstack.devices"}
IMPORTS: dict[str, set[str]] = {
    "ring": set(),
    "hypervisor": {"ring"},
    "background": set(),
    "daemon_threads": set(),
    "process_lock": {"ring"},
    "xenstore": {"ring"},
    "xenbus": {"ring", "xenstore"},
    "poll": SEAM,
    "sim": SEAM,
    "native": SEAM | {"xenstore"},
    "toolstack": SEAM | {"xenstore", "xenbus", "sim", "toolstack.devices", "toolstack.xl_config"},
    "toolstack.devices": {"xenstore", "xenbus"},  # what a toolstack does on native too
    "toolstack.xl_config": {"ring", "sim", "toolstack.devices", "vbd", "vnif", "scsi"},
    "backends": SHARED,
    "frontends": SHARED,
    # Above both halves of a driver, though its name is what users write.
    "testing": SHARED
    | {"backends", "frontends", "sim", "native", "toolstack", "toolstack.devices", "pvdrivers"},
}
IMPORTS["backends.uplinks"] = SHARED | {"backends", "vnif"}
IMPORTS["backends.targets"] = SHARED | {"backends", "scsi"}
IMPORTS["testing"] |= {"backends.uplinks", "backends.targets", "toolstack.xl_config"}
for device_class in DEVICE_CLASSES:
    IMPORTS[device_class] = DEVICE_CLASS
    for half in ("backends", "frontends"):
        IMPORTS[f"{half}.{device_class}"] = SHARED | {half, device_class}
    IMPORTS["testing"] |= {device_class, f"backends.{device_class}", f"frontends.{device_class}"}
IMPORTS["backends.vnif"].add("backends.uplinks")
IMPORTS["backends.scsi"].add("backends.targets")
# A guest's kernel has the frontends of all classes, and is built by a toolstack.
IMPORTS["guest"] = SHARED | {"frontends", "sim", "toolstack", *DEVICE_CLASSES}
IMPORTS["guest"] |= {f"frontends.{device_class}" for device_class in DEVICE_CLASSES}
IMPORTS["tools"] = {*IMPORTS, "pvdrivers"}

EXTENSION = "pvdrivers._core"  # the C core, which every part has a share in


def part_of_module(module: str) -> str:
    """The part of an absolute module name: pvdrivers.ring.abi is in ring."""
    names = module.split(".")[1:]
    for length in (2, 1):
        part = ".".join(names[:length])
        if part in IMPORTS:
            return part
    return names[0] if names else "pvdrivers"


def module_of(path: Path) -> str:
    first, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["pvdrivers", *rest] if first == "pvdrivers" else ["pvdrivers", first, *rest])


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written absolute"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] == "pvdrivers"} - {EXTENSION}


# ---- C -----------------------------------------------------------------------

# A room of the simulated machine may include those before it.
ROOMS = (
    "core",
    "console",
    "xentrace",
    "memory",
    "events",
    "sched",
    "vcpus",
    "grants",
    "ia64",
    "hypercalls",
)
C_SEAM = {"types", "ring", "hypervisor"}
C_SHARED = C_SEAM | {"poll"}
INCLUDES: dict[str, set[str]] = {
    "types": set(),
    "ring": {"types"},
    "hypervisor": {"types", "ring"},
    "poll": C_SEAM,
    "native": C_SEAM | {"xengnttab_copy"},
    "dropin": C_SEAM | {"sim", "xengnttab_copy"},
    # The machine's public headers, and what joins the rooms.
    "sim": C_SEAM | {f"sim.{room}" for room in ROOMS},
    "backends": C_SHARED,
    "backends.stores": C_SHARED | {"backends"},
    "backends.uplinks": C_SHARED | {"backends", "vnif"},
    "backends.targets": C_SHARED | {"backends", "backends.stores", "scsi"},
    "frontends": C_SHARED,
    "tools": C_SHARED | {"frontends"},
    "benchmarks": C_SHARED | {"sim", "backends", "backends.stores", "frontends", "tools"},
}
for number, room in enumerate(ROOMS):
    INCLUDES[f"sim.{room}"] = C_SEAM | {"sim"} | {f"sim.{lower}" for lower in ROOMS[:number]}
for device_class in DEVICE_CLASSES:
    INCLUDES[device_class] = C_SEAM
    INCLUDES[f"backends.{device_class}"] = C_SHARED | {"backends", "backends.stores", device_class}
    INCLUDES[f"frontends.{device_class}"] = C_SHARED | {"frontends", device_class}
    for above in ("tools", "benchmarks"):
        INCLUDES[above] |= {
            device_class,
            f"backends.{device_class}",
            f"frontends.{device_class}",
            "backends.uplinks",
        }
INCLUDES["backends.vnif"].add("backends.uplinks")
INCLUDES["backends.scsi"].add("backends.targets")

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def part_of_file(name: str) -> str:
    """The part of a C file or a header, by its path or as it is included."""
    names = Path(name).with_suffix("").parts
    if names[0] == "include":
        names = names[1:]
    if names[0] == "pvdrivers":
        names = names[1:]
    for length in (2, 1):
        part = ".".join(names[:length])
        if part in INCLUDES:
            return part
    return names[0]


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


def is_state_of_room(name: str) -> bool:
    """A room's state.h is part of struct domain and struct machine, so the core includes it."""
    return name in {f"pvdrivers/sim/{room}/state.h" for room in ROOMS}


def breaches() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        part = part_of_module(module_of(path))
        for module in sorted(imports(path)):
            if part_of_module(module) not in IMPORTS[part] | {part}:
                yield str(path.relative_to(ROOT)), module
    for path in C_SOURCES:
        part = part_of_file(str(path.relative_to(ROOT)))
        for name in includes(path):
            if part == "sim.core" and is_state_of_room(name):
                continue
            if part_of_file(name) not in INCLUDES[part] | {part}:
                yield str(path.relative_to(ROOT)), name


SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
C_SOURCES = sorted(
    path
    for folder in (*FOLDERS, "include", "benchmarks")
    for path in (ROOT / folder).rglob("*.[ch]")
)


def test_there_are_sources() -> None:
    assert len(SOURCES) > 50
    assert len(C_SOURCES) > 50


def test_parts_use_only_what_is_below_them() -> None:
    found = sorted(breaches())
    assert not found, "\n".join(f"{path} may not use {used}" for path, used in found)


def test_a_rooms_state_needs_nothing_of_the_core() -> None:
    for path in (ROOT / "pvdrivers/sim").glob("*/state.h"):
        for name in includes(path):
            assert part_of_file(name) in C_SEAM, f"{path} includes {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_see_each_others_headers_alone(room: str) -> None:
    """internal.h is what the files of one room share."""
    for path in C_SOURCES:
        if f"pvdrivers/sim/{room}/internal.h" in includes(path):
            assert part_of_file(str(path.relative_to(ROOT))) == f"sim.{room}", path
