"""Writes the C source of the cffi extension `pvdrivers._core`.

The public headers are the one place where the C interface is declared: what stands in them
between the lines `/* cffi: begin */` and `/* cffi: end */` is plain enough for cffi to parse
(structs, enums, integer constants, prototypes) and is taken over word for word.
"""

import re
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).parents[1]
PUBLIC = ROOT / "include" / "pvdrivers"
TOOLS = (ROOT / "tools/pvbench/load", ROOT / "tools/pvbridge/iscsi")  # declare for Python as well
CALLED_BACK = """
extern "Python" int pv_python_pump(struct pv_pollable *, uint32_t, uint64_t);
extern "Python" bool pv_python_arm(struct pv_pollable *);
extern "Python" uint64_t pv_python_deadline(struct pv_pollable *);
extern "Python" int pv_python_sent(struct pv_uplink *, uint32_t, struct pv_packet **, uint32_t);
"""  # pvdrivers/poll/pollable.py, backends/uplinks/python_uplink.py
INCLUDED_FROM = (ROOT / "include", ROOT)
MARKS = re.compile(r"\b(PV_API|PV_INLINE) ")
MARKED = re.compile(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", re.DOTALL)
INCLUDE = re.compile(r'#include "([\w/]+\.h)"')


def find(name: str) -> Path:
    """The header that an #include names."""
    return next(path for folder in INCLUDED_FROM if (path := folder / name).exists())


def in_include_order(names: list[str]) -> list[str]:
    """Headers sorted so that each comes after the ones it includes."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for included in INCLUDE.findall(find(name).read_text()):
            visit(included)
        ordered.append(name)

    for name in names:
        visit(name)
    return ordered


def main(output: str) -> None:
    public = (path.relative_to(ROOT / "include") for path in PUBLIC.rglob("*.h"))
    tools = (path.relative_to(ROOT) for folder in TOOLS for path in folder.glob("*.h"))
    names = in_include_order(sorted(map(str, (*public, *tools))))
    ffi = FFI()
    ffi.cdef("struct iovec { void *iov_base; size_t iov_len; };")  # <sys/uio.h>
    for name in names:
        for declarations in MARKED.findall(find(name).read_text()):
            ffi.cdef(MARKS.sub("", declarations))
    ffi.cdef(CALLED_BACK)
    includes = "".join(f'#include "{name}"\n' for name in names)
    ffi.set_source("pvdrivers._core", includes)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(sys.argv[1])
