"""Writes the C source of the cffi extension `pvdrivers.ring._core`.

The public headers are the one place where the C interface is declared: what stands in them
between the lines `/* cffi: begin */` and `/* cffi: end */` is plain enough for cffi to parse
(structs, enums, integer constants, prototypes) and is taken over word for word.
"""

import re
import sys
from pathlib import Path

from cffi import FFI

HEADERS = Path(__file__).parent / "include" / "pvdrivers"
MARKS = re.compile(r"\b(PV_API|PV_INLINE) ")
MARKED = re.compile(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", re.DOTALL)
INCLUDE = re.compile(r'#include "pvdrivers/(\w+\.h)"')


def in_include_order(names: list[str]) -> list[str]:
    """Headers sorted so that each comes after the ones it includes."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for included in INCLUDE.findall((HEADERS / name).read_text()):
            visit(included)
        ordered.append(name)

    for name in names:
        visit(name)
    return ordered


def main(output: str) -> None:
    names = in_include_order(sorted(path.name for path in HEADERS.glob("*.h")))
    ffi = FFI()
    ffi.cdef("struct iovec { void *iov_base; size_t iov_len; };")  # <sys/uio.h>
    for name in names:
        for declarations in MARKED.findall((HEADERS / name).read_text()):
            ffi.cdef(MARKS.sub("", declarations))
    includes = "".join(f'#include "pvdrivers/{name}"\n' for name in names)
    ffi.set_source("pvdrivers.ring._core", includes)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(sys.argv[1])
