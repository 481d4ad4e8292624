"""Where a logical unit is: host, channel, target, LUN, as `p-dev` and `v-dev` write it."""

import re
from typing import NamedTuple, Self

_TEXT = re.compile(r"(\d{1,5}):(\d{1,5}):(\d{1,5}):(\d{1,5})", re.ASCII)
LARGEST = 0xFFFF  # the fields of a ring slot have 16 bits


class ScsiAddress(NamedTuple):
    """`host` is not on the ring: a ring is one host's."""

    host: int
    channel: int
    target: int
    lun: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError: it is not four decimal numbers of at most 65535 with colons between."""
        match = _TEXT.fullmatch(text)
        if not match or max(numbers := [*map(int, match.groups())]) > LARGEST:
            raise ValueError(f"{text[:40]!r} is no SCSI address such as 0:0:1:0 (H:C:T:L)")
        return cls(*numbers)

    def __str__(self) -> str:
        return ":".join(map(str, self))
