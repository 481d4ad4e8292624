"""Every use of a barrier.h primitive in ring.h, by function and in order, with its reason.

The model is built from this table and a test compares it with the source, so neither can change
alone. docs/ring.md shows it.
"""

import re
from pathlib import Path
from typing import NamedTuple

RING_H = Path(__file__).parents[3] / "ring/include/pvdrivers/ring.h"


class Site(NamedTuple):
    function: str
    primitive: str
    argument: str  # the variable it reads or writes, "" for a barrier alone
    reason: str  # "" when it orders nothing: one plain access

    @property
    def is_barrier(self) -> bool:
        return bool(self.reason)

    def __str__(self) -> str:
        return f"{self.function}: {self.primitive}({self.argument})"


SITES = (
    Site("pv_ring_publish", "pv_read_once", "prod", ""),
    Site(
        "pv_ring_publish",
        "pv_store_release",
        "prod",
        "The slots are visible before the index that covers them.",
    ),
    Site(
        "pv_ring_publish",
        "pv_mb",
        "",
        "The index is visible before the producer looks where the consumer wants to be woken.",
    ),
    Site("pv_ring_publish", "pv_read_once", "peer_event", ""),
    Site("pv_ring_arm", "pv_write_once", "event", ""),
    Site(
        "pv_ring_arm",
        "pv_mb",
        "",
        "The wish to be woken is visible before the consumer's last look at the index.",
    ),
    Site(
        "pv_ring_unconsumed",
        "pv_load_acquire",
        "peer_prod",
        "The slots are read after the index that covers them.",
    ),
    Site(
        "pv_ring_copy",
        "pv_compiler_barrier",
        "",
        "What is used is what was checked: the compiler does not read the shared slot again.",
    ),
)
BARRIERS = tuple(site for site in SITES if site.is_barrier)

FUNCTION = re.compile(
    r"^PV_INLINE [^;{}]*?(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
PRIMITIVE = re.compile(
    r"(pv_mb|pv_compiler_barrier|pv_load_acquire|pv_store_release|pv_read_once|pv_write_once)"
    r"\((\w*)"
)


def in_source() -> list[tuple[str, str, str]]:
    """(function, primitive, argument) of every use in ring.h."""
    return [
        (function, primitive, argument)
        for function, body in FUNCTION.findall(RING_H.read_text())
        for primitive, argument in PRIMITIVE.findall(body)
    ]


def documented() -> str:
    """The table as docs/ring.md shows it."""
    rows = ["| where | barrier | why |", "|---|---|---|"]
    rows += [f"| `{s.function}` | `{s.primitive}({s.argument})` | {s.reason} |" for s in BARRIERS]
    return "\n".join(rows) + "\n"
