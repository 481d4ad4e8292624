"""Draws the Mermaid state diagrams of the pages by Graphviz, so that the site needs no script."""

import re
import shutil
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.ext.graphviz import graphviz
from sphinx.util import logging

STATE = re.compile(r"(\w+): (.+)")
ARROW = re.compile(r"(\w+) --> (\w+): (.+)")


def dot(lines: list[str]) -> str:
    """The diagram in Graphviz' language. ValueError for a line that is not understood."""
    code = ["digraph {", "node [shape=box style=rounded fontname=sans]", "edge [fontname=sans]"]
    for line in map(str.strip, lines[1:]):
        if arrow := ARROW.fullmatch(line):
            label = arrow[3].replace("<br>", r"\n")
            code.append(f'{arrow[1]} -> {arrow[2]} [label="{label}" fontsize=10]')
        elif state := STATE.fullmatch(line):
            code.append(f'{state[1]} [label="{state[2]}"]')
        else:
            raise ValueError(f"neither a state nor an arrow: {line}")
    return "\n".join([*code, "}"])


class Mermaid(Directive):
    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        if not shutil.which("dot"):
            # Not a warning, which would fail the build: nothing is missing from the page.
            logging.getLogger(__name__).info("diagrams stay text without Debian's graphviz")
            return [nodes.literal_block(text, text, language="text")]
        node = graphviz()
        node["code"], node["options"] = dot(list(self.content)), {}
        node["alt"] = text
        return [node]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True}
