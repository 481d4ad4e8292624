"""The code of docs/targets.md runs, and its tables of commands are complete."""

from __future__ import annotations

import re
from pathlib import Path

from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.passthrough.commands import table_of
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.backends.targets.tape.unit import Tape

PAGE = (Path(__file__).parents[2] / "docs" / "targets.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_its_code() -> None:
    assert len(BLOCKS) == 6
    for block in BLOCKS:
        exec(compile(block, "targets.md", "exec"), {})


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_it_names_each_command() -> None:
    common = {found.name for found in PrimaryUnit.operations}
    for operations, title in (
        (PrimaryUnit.operations, "What all of them have"),
        ([found for found in Disk.operations if found.name not in common], "Disk"),
        ([found for found in Tape.operations if found.name not in common], "Tape"),
        ([found for found in Changer.operations if found.name not in common], "Changer"),
    ):
        text = section(title)
        for found in operations:
            name = re.sub(r"\((?:\d+|LID1)\)$", "", found.name)
            actions = r"SANITIZE |READ POSITION |(?<=PERSISTENT RESERVE) (?:IN|OUT) |RECEIVE COPY "
            for word in re.split(actions, name):
                assert word.lower() in text.lower(), f"{found.name} is not in {title}"


def test_it_names_each_command_that_is_refused_unless_it_is_allowed() -> None:
    text = section("Pass-through")
    listed = text.split("### What is passed on")[1]
    refused = {
        each.name for kind in (0x00, 0x01, 0x08) for each in table_of(kind) if not each.allowed
    }
    missing = [name for name in refused if not re.search(rf"[ |]{re.escape(name)}[, ]", listed)]
    assert not missing
