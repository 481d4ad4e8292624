"""Plots as SVG that stands in HTML. It takes matplotlib, an extra of the package, and a second to
import: only what writes a page imports it."""

import io
import re
from pathlib import Path

from matplotlib.figure import Figure

WIDTH = 9.5  # inches
STYLE = Path(__file__).with_suffix(".mplstyle")
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def new_figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def to_svg(figure: Figure) -> str:
    """A figure as an element of HTML, without the XML's preamble."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=NO_METADATA)
    element = text.getvalue()
    element = element[element.index("<svg") :]
    # In HTML the parser knows both name spaces.
    return re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", element)
