"""`python-modules`: the reference of all modules of a package that have something public."""

import ast
import importlib.util
import pkgutil
import re
from pathlib import Path
from textwrap import indent
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# A piece of code between backticks, or what reStructuredText takes for markup outside of them.
MARKUP = re.compile(r"(``[^`]+``)|`([^`]+)`|([*|\\]|(?<=\w)_(?!\w))")
INDENTED = re.compile(r"^ ", re.MULTILINE)
COLUMNS = re.compile(r"\S {3,}\S")


def public_modules(module: str) -> list[str]:
    """Names of the module and those below it that define anything public, or introduce a package.

    ValueError when there is no such module.
    """
    spec = importlib.util.find_spec(module)
    if not spec:
        raise ValueError(f"there is no module {module}")
    below = [each.name for each in pkgutil.iter_modules(spec.submodule_search_locations or ())]
    found = [module] if spec.origin and has_public(Path(spec.origin)) else []
    for name in sorted(below):
        if not name.startswith("_"):
            found += public_modules(f"{module}.{name}")
    return found


def has_public(source: Path) -> bool:
    if source.suffix != ".py":
        return False
    tree = ast.parse(source.read_text())
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in tree.body if isinstance(node, definitions)]
    introduces = source.name == "__init__.py" and ast.get_docstring(tree) is not None
    return introduces or not all(name.startswith("_") for name in names)


def plain_text(app: Sphinx, what: str, name: str, item: object, options: Any, lines: list) -> None:
    """Docstrings are plain text, with code between single backticks, indented or in columns."""
    paragraphs = re.split(r"\n{2,}", "\n".join(line.rstrip() for line in lines).strip("\n"))
    lines[:] = [*"\n\n".join(map(restructured, paragraphs)).split("\n"), ""]


def restructured(paragraph: str) -> str:
    in_columns = all(COLUMNS.search(line) for line in paragraph.split("\n"))
    if in_columns or (INDENTED.search(paragraph) and not paragraph.startswith("- ")):
        return f"::\n\n{indent(paragraph, '    ')}"
    return MARKUP.sub(escape, paragraph)


def escape(found: re.Match[str]) -> str:
    if found[1] or found[2]:
        return f"``{(found[1] or found[2]).strip('`')}``"
    return f"\\{found[3]}"


class PythonModules(SphinxDirective):
    required_arguments = 1
    option_spec: ClassVar = {"except": str.split}

    def run(self) -> list[nodes.Node]:
        lines = []
        for name in public_modules(self.arguments[0]):
            if not name.startswith(tuple(self.options.get("except", ["-"]))):
                lines += [name, "-" * len(name), "", f".. automodule:: {name}"]
                lines += ["   :members:", "   :ignore-module-all:", "   :show-inheritance:", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("python-modules", PythonModules)
    app.connect("autodoc-process-docstring", plain_text)
    return {"parallel_read_safe": True}
