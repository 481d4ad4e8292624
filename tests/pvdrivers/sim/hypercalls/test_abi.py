"""Sizes, offsets and numbers of pvdrivers/sim/hypercalls/abi*.h against Xen's own headers."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PARTS = ("", "_domctl", "_memory", "_platform", "_sysctl")
HEADERS = [f"pvdrivers/sim/hypercalls/abi{part}.h" for part in PARTS]
HEADERS += ["include/pvdrivers/sim/machine_pages.h"]
OURS = "\n".join(f'#include "{header}"' for header in HEADERS)
OFFICIAL = """
#define __XEN_TOOLS__ 1
#define __XEN_INTERFACE_VERSION__ 0x00041100
#include <stdint.h>
#include <xen/xen.h>
#include <xen/sched.h>
#include <xen/memory.h>
#include <xen/version.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/platform.h>
"""
NOT_XENS = {"toolstack_header", "pv_page_info"}


def declarations() -> tuple[list[str], dict[str, list[str]]]:
    """Constants, and the members of each structure, of our headers."""
    text = "".join((ROOT / header).read_text() for header in HEADERS)
    text = re.sub(r" */\*.*?\*/", "", text, flags=re.DOTALL)
    constants = re.findall(r"^#define (\w+) [\d(]", text, re.MULTILINE)
    for body in re.findall(r"^enum \{(.*?)\}", text, re.DOTALL | re.MULTILINE):
        constants += re.findall(r"(\w+)(?: = \w+)?(?:,|\s*$)", body)
    structs = {}
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.DOTALL | re.MULTILINE):
        outer = re.findall(r"^    (?:\w[\w ]*|\}) ([\w, \[\]]+);$", body, re.MULTILINE)
        members = [member for line in outer for member in re.findall(r"(\w+)(?:\[\d+\])?", line)]
        structs[name] = [m for m in members if not m.isdigit() and not m.startswith("pad")]
    return constants, structs


def program(headers: str) -> str:
    constants, structs = declarations()
    lines = [f'printf("{name} %lld\\n", (long long){name});' for name in constants]
    for name in sorted(set(structs) - NOT_XENS):
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{member} %zu\\n", offsetof(struct {name}, {member}));'
            for member in structs[name]
        ]
    body = "\n".join(lines)
    return f"{headers}\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n{body}\n}}\n"


def printed(headers: str, folder: Path) -> list[str]:
    source, binary = folder / "layout.c", folder / "layout"
    source.write_text(program(headers))
    flags = [f"-I{ROOT}", f"-I{ROOT / 'include'}"]
    subprocess.run(["gcc", "-w", *flags, source, "-o", binary], check=True)
    return subprocess.run([binary], check=True, capture_output=True, text=True).stdout.splitlines()


def test_as_xen_has_them(tmp_path: Path) -> None:
    if not Path("/usr/include/xen/domctl.h").exists():
        pytest.skip("needs xen/domctl.h (Debian package libxen-dev)")
    ours = printed(OURS, tmp_path)
    assert ours == printed(OFFICIAL, tmp_path)
    assert "xen_domctl 144" in ours
    assert "xen_sysctl.u 8" in ours
