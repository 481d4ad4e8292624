"""Every test that docs/vnif-hardening.md names exists, and bears its advisory's number."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "vnif-hardening.md"
ROWS = [line for line in PAGE.read_text().splitlines() if "::" in line and line.startswith("|")]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`([^`]+::\w+)`", row)})


@pytest.mark.parametrize("name", NAMED)
def test_is_there(name: str) -> None:
    file, function = name.split("::")
    text = (TESTS / file).read_text()
    defined = rf"^(?:static )?(?:void|int|(?:async )?def) {function}\("
    assert len(re.findall(defined, text, re.MULTILINE)) == 1
    if file.endswith(".c") and function != "LLVMFuzzerTestOneInput":
        assert len(re.findall(rf"\b{function}\(", text)) > 1, "nobody calls it"


def test_advisories_are_in_the_names_of_their_tests() -> None:
    rows = [row for row in ROWS if row.startswith("| XSA-")]
    assert len(rows) >= 19
    for row in rows:
        attack, _, tests = row.strip("| ").split(" | ")
        for number in re.findall(r"XSA-(\d+)", attack.partition(":")[0]):
            assert re.search(rf"xsa_(\d+_)*{number}[_`]", tests), row


def test_the_page_has_all_of_it() -> None:
    assert len(NAMED) > 60
    assert all(row.count(" | ") >= 2 for row in ROWS)
