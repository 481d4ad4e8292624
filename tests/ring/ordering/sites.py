"""Every use of a barrier.h primitive in the handshakes, by function and in order, with its reason.

The models are built from these tables and a test compares them with the source, so neither can
change alone. The manual shows them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .machines import Choice, Op, Steps

ROOT = Path(__file__).parents[3]


class Site(NamedTuple):
    function: str
    primitive: str
    argument: str  # as the source has it: what it reads or writes, "" for a barrier alone
    order: str = ""  # why the order it gives is needed; "" when it gives none that is
    step: str = ""  # why a read-modify-write has to be one step

    @property
    def is_barrier(self) -> bool:
        return bool(self.order or self.step)

    def __str__(self) -> str:
        return f"{self.function}: {self.primitive}({self.argument})"


class Weakening(NamedTuple):
    """A site without its order, or one whose read and write are two steps."""

    site: Site
    lacks: str  # order, step

    def __str__(self) -> str:
        return f"{self.site} without its {self.lacks}"


class Table(NamedTuple):
    """The sites in a source file, all of them or those in some functions."""

    file: str
    sites: tuple[Site, ...]
    functions: frozenset[str] = frozenset()  # empty: all

    def weakenings(self) -> list[Weakening]:
        return [
            Weakening(site, lacks)
            for site in self.sites
            for lacks in ("order", "step")
            if getattr(site, lacks)
        ]

    def in_table(self) -> list[tuple[str, str, str]]:
        return [(site.function, site.primitive, site.argument) for site in self.sites]

    def in_source(self) -> list[tuple[str, str, str]]:
        """(function, primitive, argument) of every use."""
        return [
            (function, primitive, argument)
            for function, body in FUNCTION.findall((ROOT / self.file).read_text())
            if not self.functions or function in self.functions
            for primitive, argument in PRIMITIVE.findall(COMMENT.sub("", body))
        ]


FUNCTION = re.compile(r"^\w[^;{}()#]*?(\w+)\([^;{}]*?\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
PRIMITIVE = re.compile(
    r"\b(pv_mb|pv_compiler_barrier|pv_(?:load_acquire|store_release|read_once|write_once|fetch_or"
    r"|fetch_(?:and|add|sub)|exchange|compare_exchange)(?:_\w+)?|__atomic_\w+|__sync_\w+)"
    r"\(((?:[^(),]|\([^()]*\))*)"
)


def documented(tables: tuple[Table, ...]) -> str:
    """The barriers of the tables as the manual shows them."""
    rows = ["| where | barrier | why |", "|---|---|---|"]
    for table in tables:
        for site in table.sites:
            if site.is_barrier:
                why = " One step: ".join(filter(None, (site.order, site.step)))
                why = why if site.order else f"One step: {why}"
                rows.append(f"| `{site.function}` | `{site.primitive}({site.argument})` | {why} |")
    return "\n".join(rows) + "\n"


def kind_of(primitive: str) -> str:
    if primitive in ("pv_mb", "pv_compiler_barrier"):
        return "fence"
    if re.match("pv_(load|read)", primitive):
        return "load"
    return "store" if re.match("pv_(store|write)", primitive) else "change"


def order_of(primitive: str) -> str:
    if primitive.startswith("pv_load_acquire"):
        return "acquire"
    if primitive.startswith("pv_store_release"):
        return "release"
    return "full" if kind_of(primitive) == "change" else ""


class Code:
    """The accesses of the C functions in some tables, of which one may be weakened."""

    def __init__(self, tables: tuple[Table, ...], without: Weakening | None = None) -> None:
        self.sites = [site for table in tables for site in table.sites]
        self.without = without

    def find(self, kind: str, function: str, argument: str, nth: int = 0) -> Site:
        return [
            site
            for site in self.sites
            if (kind_of(site.primitive), site.function, site.argument) == (kind, function, argument)
        ][nth]

    def lacks(self, site: Site, what: str) -> bool:
        return self.without == Weakening(site, what)

    def order(self, site: Site) -> str:
        return "" if self.lacks(site, "order") else order_of(site.primitive)

    def fence(self, function: str) -> Steps:
        site = self.find("fence", function, "")
        if not self.lacks(site, "order"):
            yield Op("fence", text=f"{function}: {site.primitive}()")
        return 0

    def load(
        self, function: str, argument: str, variable: str, values: tuple[int, ...], nth: int = 0
    ) -> Steps:
        site = self.find("load", function, argument, nth)
        text = f"{function}: {site.primitive}({variable})"
        op = Op("load", variable, order=self.order(site), decides=True, text=text)
        return (yield Choice(op, values))

    def store(self, function: str, argument: str, variable: str, value: int) -> Steps:
        site = self.find("store", function, argument)
        text = f"{function}: {site.primitive}({variable}, {value})"
        yield Op("store", variable, value, order=self.order(site), text=text)
        return 0

    def change(
        self,
        function: str,
        argument: str,
        variable: str,
        values: tuple[int, ...],
        change: Callable[[int], int | None],
        nth: int = 0,
    ) -> Steps:
        """A read-modify-write; returns what was there."""
        site = self.find("change", function, argument, nth)
        text = f"{function}: {site.primitive}({variable})"
        op = Op("change", variable, order=self.order(site), decides=True, text=text)
        if not self.lacks(site, "step"):
            return (yield Choice(op, values, change))
        yield Op("fence", text="")
        found = yield Choice(op._replace(action="load", order="", text=f"{text}, read"), values)
        becomes = change(found)
        if becomes is not None:
            yield Op("store", variable, becomes, text=f"{text}, write {becomes}")
        yield Op("fence", text="")
        return found


def swap(expected: int, value: int) -> Callable[[int], int | None]:
    """What a compare-and-exchange does."""
    return lambda found: value if found == expected else None
