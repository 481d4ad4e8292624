"""How many bytes a guest may transmit in a time: xl's words for it, and the key `rate`."""

import re
from dataclasses import dataclass
from typing import Self

UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
TIMES = {"m": 1_000, "u": 1, "": 1_000_000}  # microseconds
INTERVAL = 50_000  # xl's default, microseconds
MAX = 0xFFFFFFFF
_NUMBER = r"(0[0-7]{0,12}|[1-9]\d{0,11})"
_XL = re.compile(rf"{_NUMBER}([KMG]?)([Bb])/s(?:@{_NUMBER}([mu]?)s?)?", re.ASCII)
_KEY = re.compile(r"\s*(\d{1,20})\s*,\s*(\d{1,20})\s*", re.ASCII)


def _number(digits: str) -> int:
    """As strtoull reads it."""
    return int(digits, 8 if digits.startswith("0") else 10)


@dataclass(frozen=True, slots=True)
class Rate:
    """`bytes` in each interval of `usec` microseconds; 0 bytes: no limit."""

    bytes: int = 0
    usec: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """What xl takes, `10Mb/s` or `1MB/s@20ms`. A number that begins with 0 is octal, and an
        interval without a unit is in seconds. ValueError: it is not that."""
        found = _XL.fullmatch(text)
        if not found:
            raise ValueError(f"rate {text[:40]!r} is not like 10Mb/s or 1MB/s@20ms")
        amount, unit, kind, interval, time = found.groups()
        number = _number(amount)
        usec = _number(interval) * TIMES[time] if interval else INTERVAL
        per_second = number * UNITS[unit] // (8 if kind == "b" else 1)
        rate = cls(per_second * usec // 1_000_000, usec)
        if not rate.bytes or max(number, usec) > MAX or per_second * usec >= 1 << 64:
            raise ValueError(f"rate {text} is less than a byte, or one of its numbers is too large")
        return rate

    @classmethod
    def read(cls, key: str | None) -> Self | None:
        """The key as a toolstack writes it, BYTES,USEC. None: it is garbled, and limits nothing.
        An absent key limits nothing either."""
        if key is None:
            return cls()
        found = _KEY.fullmatch(key)
        if not found:
            return None
        amount, usec = map(int, found.groups())
        return cls(min(amount, (1 << 64) - 1), min(usec, MAX)) if amount and usec else None

    @property
    def key(self) -> str:
        return f"{self.bytes},{self.usec}"

    def __str__(self) -> str:
        return f"{self.bytes} bytes in {self.usec} us" if self.bytes else "unlimited"
