"""The documentation's site; `make docs` builds it.

The source folder is the whole checkout, so that links between pages are the same for a repository
browser and for the site.
"""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "pvdrivers"
author = copyright = "The pvdrivers developers"
version = release = installed_version("pvdrivers")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
    "c_headers",
    "python_modules",
    "state_diagram",
]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "build", "tests", "benchmarks"]

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
default_role = "code"

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # those of the standard library are not of our form
autodoc_typehints = "signature"
# Annotations are not evaluated, and a few class names are in more than one module.
suppress_warnings = ["ref.python"]
python_maximum_signature_line_length = 80
graphviz_output_format = "svg"

html_theme = "furo"
html_title = f"pvdrivers {release}"
html_static_path: list[str] = []
html_copy_source = html_show_sourcelink = False
# The site's first page is where a web server looks for it.
html_extra_path = ["site"]
