"""The site's reference has every public module and header once, and shows them as they are."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {page.stem: page.read_text() for page in sorted((DOCS / "reference").glob("*.md"))}


def extension(name: str) -> ModuleType:
    pytest.importorskip("sphinx", reason="needs `make docs`'s packages")
    sys.path.insert(0, str(DOCS / "extensions"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def test_every_python_module_once() -> None:
    public_modules = extension("python_modules").public_modules
    shown: list[str] = []
    for text in PAGES.values():
        for package, left_out in re.findall(
            r"^\.\. python-modules:: (\S+)\n(?:   :except: ((?:.+\n)(?:      .+\n)*))?",
            text,
            re.MULTILINE,
        ):
            skipped = tuple(left_out.split()) or ("-",)
            shown += [name for name in public_modules(package) if not name.startswith(skipped)]
    tools = set(public_modules("pvdrivers.tools"))
    assert sorted(shown) == sorted(set(public_modules("pvdrivers")) - tools)
    assert "pvdrivers.hypervisor" in shown


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no module pvdrivers\.nothing"):
        extension("python_modules").public_modules("pvdrivers.nothing")


@pytest.mark.parametrize(
    ("docstring", "restructured"),
    [
        ("a `name_` and *args", r"a ``name_`` and \*args"),
        ("``twice`` and a|b", r"``twice`` and a\|b"),
        ("PV_ and snake_case", r"PV\_ and snake_case"),
        ("Two\nlines:\n\n    x = *y\n\nMore", "Two\nlines:\n\n::\n\n        x = *y\n\nMore"),
        ("so:\n  x = *y", "::\n\n    so:\n      x = *y"),
        ("a   `x`\nbb    *y", "::\n\n    a   `x`\n    bb    *y"),
        ("- item,\n  its `end`", "- item,\n  its ``end``"),
    ],
)
def test_docstrings_are_plain_text(docstring: str, restructured: str) -> None:
    lines = docstring.split("\n")
    extension("python_modules").plain_text(None, "class", "", None, None, lines)
    assert lines == [*restructured.split("\n"), ""]


def test_every_folder_of_headers_once() -> None:
    folders = re.findall(r"^```\{c-headers\} (\S+)$", PAGES["c"], re.MULTILINE)
    include = ROOT / "include"
    assert sorted(folders) == sorted(
        {str(header.parent.relative_to(include)) for header in include.rglob("*.h")}
    )


def test_a_header() -> None:
    headers = extension("c_headers")
    text = """/*
 * What it is for, in
 * two lines.
 *
 * More.
 */
#ifndef PVDRIVERS_A_H
#define PVDRIVERS_A_H

#include "pvdrivers/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PV_LIMIT 4u

/* cffi: begin */
struct pv_a {
    int b; /* bytes */
};

/* Makes one. */
PV_API struct pv_a *pv_a_create(int b,
                                int c);
/* cffi: end */

static inline int pv_a_b(const struct pv_a *a)
{
    if (a->b)
        return a->b;
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
"""
    assert headers.introduction(text) == ["What it is for, in two lines.", "More."]
    declared = headers.declarations(text)
    assert declared == (
        "#define PV_LIMIT 4u\n\nstruct pv_a {\n    int b; /* bytes */\n};\n\n/* Makes one. */\n"
        "PV_API struct pv_a *pv_a_create(int b,\n                                int c);\n\n"
        "static inline int pv_a_b(const struct pv_a *a);"
    )
    assert headers.names(declared) == ["PV_LIMIT", "pv_a", "pv_a_create", "pv_a_b"]


@pytest.mark.parametrize("header", sorted((ROOT / "include").rglob("*.h")), ids=lambda h: h.name)
def test_every_function_of_a_header_is_found(header: Path) -> None:
    """Those that Python reaches stand between markers, one declaration after the other."""
    headers = extension("c_headers")
    text = header.read_text()
    begun = "".join(re.findall(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", text, re.DOTALL))
    code = re.sub(r"/\*.*?\*/", "", begun, flags=re.DOTALL)
    functions = re.findall(r"^(?:PV_API|PV_INLINE)\b[^;(]*?(\w+)\(", code, re.MULTILINE)
    assert set(functions) <= set(headers.names(headers.declarations(text)))


def test_diagrams_are_drawn() -> None:
    dot = extension("state_diagram").dot
    page = (DOCS / "xenbus.md").read_text()
    diagrams = re.findall(r"^```mermaid\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(diagrams) == 2
    for diagram in diagrams:
        assert dot(diagram.splitlines()).count(" -> ") == diagram.count(" --> ")
    with pytest.raises(ValueError, match="neither a state nor an arrow: note"):
        dot(["stateDiagram-v2", "note"])
