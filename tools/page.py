"""What our pages of HTML have in common. A page has everything in it and needs no network."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from string import Template

STYLE = Path(__file__).with_suffix(".css")
Section = tuple[str, str, str]  # title, words, plot


def obstacle(path: Path) -> str | None:
    """Why no page can be written there; it may be looked at before what the page is to show."""
    if find_spec("matplotlib") is None:
        return "--html needs the Python package matplotlib: pip install matplotlib"
    try:
        path.open("a").close()
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}"
    return None


def fill(template: Path, sections: Iterable[Section], **parts: object) -> str:
    """A page; `parts` are HTML for the template's other names."""
    return Template(template.read_text()).substitute(
        parts,
        style=STYLE.read_text().rstrip(),
        sections="\n".join(
            f"<section><h2>{title}</h2><p>{words}</p>{plot}</section>"
            for title, words, plot in sections
        ),
    )
