"""docs/measurements/scsi-oracles.md: where our disk answers otherwise than others, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cases import CASES
from guest import TARGETS
from outcome import LACKS_IT, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "scsi-oracles.md"


def lacks_facts(*targets: Mapping[str, str]) -> list[str]:
    """The beginnings of rows that the page does not have, of these targets in their order."""
    rows = [" | ".join((f"| {name}", *(one[name] for one in targets))) for name in targets[0]]
    text = PAGE.read_text()
    return [row for row in rows if f"\n{row} |" not in text]


class Difference(NamedTuple):
    """`told`: how the case ended here, and on each target."""

    name: str
    told: tuple[str, ...]


def differences(
    ours: Mapping[str, Outcome], theirs: Mapping[str, Mapping[str, Outcome]]
) -> list[Difference]:
    """A target that lacks a command, or was not asked, does not differ."""
    found = []
    for case in CASES:
        mine = ours[case.name].told
        others = [theirs[target].get(case.name) for target in TARGETS]
        told = ["" if one is None or one.told == LACKS_IT else one.told for one in others]
        if any(one not in ("", mine) for one in told):
            found.append(Difference(case.name, (mine, *told)))
    return found


def explained() -> dict[Difference, str]:
    """What the page's table has, with the reasons."""
    cells = r" (.*?) \|" * (len(TARGETS) + 3)
    rows = re.findall(rf"^\|{cells}$", PAGE.read_text(), re.MULTILINE)
    return {Difference(name, tuple(told)): reason for name, *told, reason in rows[1:]}
