"""docs/glossary.md says where things are, and has each word once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line.strip("| \n").split("|")
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| word")
]


def test_everything_is_where_it_says() -> None:
    paths = [
        path for row in ROWS if len(row) > 2 for path in re.findall(r"`([^`]+/[^`]*)`", row[2])
    ]
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_one_word_is_one_thing() -> None:
    words = [word.strip() for row in ROWS for word in row[0].split(",")]
    assert len(words) == len(set(words))
