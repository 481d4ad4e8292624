"""Every test that the pages about hostile peers name exists, and bears its advisory's number."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
ROWS = {
    page: [
        line
        for line in (DOCS / page).read_text().splitlines()
        if "::" in line and line.startswith("|")
    ]
    for page in ("vnif-hardening.md", "scsi-hardening.md")
}
NAMED = {
    page: sorted({name for row in rows for name in re.findall(r"`([^`]+::\w+)`", row)})
    for page, rows in ROWS.items()
}


@pytest.mark.parametrize("name", sorted({name for names in NAMED.values() for name in names}))
def test_is_there(name: str) -> None:
    file, function = name.split("::")
    text = (TESTS / file).read_text()
    defined = rf"^(?:static )?(?:void|int|(?:async )?def) {function}\("
    assert len(re.findall(defined, text, re.MULTILINE)) == 1
    if file.endswith(".c") and function != "LLVMFuzzerTestOneInput":
        assert len(re.findall(rf"\b{function}\b", text)) > 1, "nobody calls it"


def test_advisories_are_in_the_names_of_their_tests() -> None:
    rows = [row for row in ROWS["vnif-hardening.md"] if row.startswith("| XSA-")]
    assert len(rows) >= 19
    for row in rows:
        attack, _, tests = row.strip("| ").split(" | ")
        for number in re.findall(r"XSA-(\d+)", attack.partition(":")[0]):
            assert re.search(rf"xsa_(\d+_)*{number}[_`]", tests), row


@pytest.mark.parametrize("page", ROWS)
def test_the_page_has_all_of_it(page: str) -> None:
    assert len(NAMED[page]) > 60
    assert all(row.count(" | ") >= 2 for row in ROWS[page])


@pytest.mark.parametrize(
    "file", ["backends/scsi/c/test_hostile.c", "frontends/scsi/test_hostile_backend.py"]
)
def test_every_attack_of_these_files_is_on_the_page(file: str) -> None:
    """A test of a hostile peer that nobody lists is a rule that nobody knows."""
    text = (TESTS / file).read_text()
    there = re.findall(r"^(?:static void|def) (test_\w+)\(", text, re.MULTILINE)
    assert {f"{file}::{name}" for name in there} <= {*NAMED["scsi-hardening.md"]}
