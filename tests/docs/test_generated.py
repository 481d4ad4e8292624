"""The committed pages show the tables as they are in the code."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pvdrivers.tools.pvbench.compare.report import goal
from pvdrivers.tools.pvbench.compare.runner import catalogue

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = [
    "xenbus.md",
    "vbd.md",
    "vnif.md",
    "scsi.md",
    "pvbench.md",
    "pvbench-compare.md",
    "pvbench-scsi.md",
    "pvbench-vnif.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_up_to_date(page: str) -> None:
    text = (DOCS / page).read_text()
    assert generator().generate(page, text) == text, "run `make docs`"


def test_every_page_is_checked() -> None:
    assert set(generator().SECTIONS) == set(PAGES)


def test_a_page_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        generator().generate("vbd.md", "# nothing")


def test_every_comparison_is_in_the_manual() -> None:
    table = generator().comparisons()
    for name, row in catalogue().items():
        (line,) = (line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.workload in line
        if row.target:
            assert f"{goal(row)} |" in line


def test_the_diagram_has_the_normal_start() -> None:
    text = (DOCS / "xenbus.md").read_text()
    assert "s1 --> s3: peer 2 / connect" in text
    assert "s3 --> s4: peer 4,7,8 / attach" in text
