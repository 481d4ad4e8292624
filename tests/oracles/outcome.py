"""How a case ended, in words that can be compared between targets."""

from __future__ import annotations

import re
from typing import NamedTuple

from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense

LACKS_IT = "05/20/00"  # there is no such command

_STATUSES = {
    "Good": Status.GOOD,
    "Condition Met": Status.CONDITION_MET,
    "Check Condition": Status.CHECK_CONDITION,
    "Reservation Conflict": Status.RESERVATION_CONFLICT,
}


class Outcome(NamedTuple):
    """`data`: what came back, as far as it counts."""

    told: str
    data: bytes = b""


def outcome(status: int, sense: bytes, data: bytes) -> Outcome:
    """Of an answered command."""
    if status == Status.CHECK_CONDITION:
        parsed = Sense.parse(sense)
        return Outcome(parsed.code if parsed else "no sense")
    return Outcome(Status(status).name.lower().replace("_", " "), data)


def read_sg_raw(text: str) -> Outcome:
    """What `sg_raw -vv` has written of a command."""
    status = re.search(r"^SCSI Status: (.*?)\s*$", text, re.MULTILINE)
    if not status:
        return Outcome("no answer")
    sense = _bytes(text, r"Raw sense data.*\n((?:        .*\n)+)", 0)
    data = _bytes(text, r"Received \d+ bytes of data:\n((?: .*\n)+)", 1)
    return outcome(_STATUSES[status[1]], sense, data)


def _bytes(text: str, pattern: str, offset_words: int) -> bytes:
    """Of a hex dump, whose lines may begin with an offset and end with characters."""
    found = re.search(pattern, text)
    if not found:
        return b""
    words = (line[:56].split()[offset_words:] for line in found[1].splitlines())
    return bytes.fromhex(" ".join(word for line in words for word in line))
