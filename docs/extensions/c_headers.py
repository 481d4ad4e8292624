"""`c-headers`: the reference of a folder's public C headers, from the headers themselves.

Each header is a section: the comment at its top, then its declarations with their comments and
without what only a compiler needs. Every name a header declares is in the site's index.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

INCLUDE = Path(__file__).parents[2] / "include"

TOP = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
NOISE = re.compile(
    r"^(#(if|ifdef|ifndef|else|elif|endif|include)\b.*|#define PVDRIVERS_\w+_H|/\* cffi: \w+ \*/"
    r'|extern "C" \{|\})\n',
    re.MULTILINE,
)
BODY = re.compile(r"\)\n\{\n.*?^\}\n", re.DOTALL | re.MULTILINE)
NAME = re.compile(
    r"^(?:struct|union|enum) (\w+) \{|^#define (\w+)|^[\w*][^;{}#=]*?\b(\w+)\([^;{}]*\);",
    re.MULTILINE,
)


def introduction(header: str) -> list[str]:
    """The paragraphs of the comment at the top."""
    found = TOP.match(header)
    text = re.sub(r"^ *\* ?", "", found[1], flags=re.MULTILINE) if found else ""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def declarations(header: str) -> str:
    """What it declares, with comments; of inline functions the first line."""
    text = BODY.sub(");\n", TOP.sub("", header, count=1))
    return re.sub(r"\n{3,}", "\n\n", NOISE.sub("", text)).strip()


def names(declared: str) -> list[str]:
    """Functions, macros, structs and enums."""
    found = [next(filter(None, each.groups())) for each in NAME.finditer(declared)]
    return list(dict.fromkeys(found))


class CHeaders(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = INCLUDE / self.arguments[0]
        headers = sorted(folder.glob("*.h"))
        if not headers:
            raise self.error(f"there are no headers in {folder}")
        return [self.section(header) for header in headers]

    def section(self, header: Path) -> nodes.Node:
        self.env.note_dependency(str(header))
        text = header.read_text()
        name = str(header.relative_to(INCLUDE))
        declared = declarations(text)
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title(name, name)
        section += [nodes.paragraph(part, part) for part in introduction(text)]
        section += addnodes.index(
            entries=[("single", each, section["ids"][0], "", None) for each in names(declared)]
        )
        section += nodes.literal_block(declared, declared, language="c")
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("c-headers", CHeaders)
    return {"parallel_read_safe": True}
