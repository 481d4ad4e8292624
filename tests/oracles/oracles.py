"""Asks our disk, and other people's in a guest under emulation, the same commands.

Usage: oracles.py [FOLDER]   keeps the guest's image in FOLDER, and what it has written; without it
only what the page says of our disk is looked at. Ends with status 1 when there is a difference that
docs/measurements/scsi-oracles.md does not explain
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import guest
import ours
from cases import CASES, SAME_DATA
from facts import facts
from outcome import Outcome
from page import PAGE, differences, explained, lacks_facts

PROGRAMS = {  # and the Debian packages that have them
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "apt-get": "apt",
}


def main(arguments: list[str]) -> int:
    wrong = list(complaints_of_ours(mine := ours.ask(CASES)))
    if arguments:
        missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
        if missing:
            print(f"oracles: needs the Debian packages {' '.join(missing)}", file=sys.stderr)
            return 2
        folder = Path(arguments[0])
        guest.build(folder)
        wrong += complaints(mine, guest.ask(folder, CASES))
    for line in wrong:
        print(line)
    print(f"oracles {'FAILED' if wrong else 'passed'}: {len(CASES)} commands")
    return 1 if wrong else 0


def complaints_of_ours(mine: Mapping[str, Outcome]) -> Iterator[str]:
    for difference, reason in explained().items():
        told = mine[difference.name].told
        if told != difference.told[0] or not reason:
            yield f"{PAGE.name}: {difference.name} ends with {told} here"
    for row in lacks_facts(facts(mine)):
        yield f"not in {PAGE.name}: {row}"


def complaints(
    mine: Mapping[str, Outcome], theirs: Mapping[str, Mapping[str, Outcome]]
) -> Iterator[str]:
    known = explained()
    found = differences(mine, theirs)
    for difference in found:
        if not known.get(difference):
            yield f"not in {PAGE.name}: | {difference.name} | {' | '.join(difference.told)} |"
    for difference in known:
        if difference not in found:
            yield f"in {PAGE.name}, and no more: {difference.name}"
    for row in lacks_facts(facts(mine), *(facts(theirs[target]) for target in guest.TARGETS)):
        yield f"not in {PAGE.name}: {row} |"
    for name in SAME_DATA:
        given = {target: theirs[target][name] for target in theirs if name in theirs[target]}
        for target, outcome in given.items():
            if outcome.told == "good" and outcome.data != mine[name].data:
                yield f"{name}: {target} has other data"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
