"""fio's units: sizes in powers of 1024 unless kb_base is 1000, times in seconds unless a suffix
says otherwise."""

import re

from pvdrivers.tools.pvbench.errors import OptionError

MAX_PERCENTILES = 20  # fio's

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NS = {
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}


def parse_size(option: str, text: str, kb_base: int = 1024) -> int:
    """Bytes of "4k", "1m", "0x1000" or "4096". Raises OptionError naming the option.

    "kib" is of the other base than "k", "ki" and "kb", as in fio: 1000 bytes when kb_base is 1024,
    so that old job files mean what they did.
    """
    match = re.fullmatch(r"(0x[0-9a-f]+|\d+)(?:([kmgtp])(i?b?)|b)?", text.strip().lower())
    if match is None:
        raise OptionError(f"{option}: {text!r} is not a size such as 4k, 1m or 4096")
    base = 2024 - kb_base if match[3] == "ib" else kb_base
    return int(int(match[1], 0) * base ** _POWERS[match[2] or ""])


def parse_time(option: str, text: str, unit: str = "s") -> int:
    """Nanoseconds of "10", "10s", "500ms" or "2m". Raises OptionError naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|)", text.strip().lower())
    if match is None:
        raise OptionError(f"{option}: {text!r} is not a time such as 10s, 500ms or 2m")
    return round(float(match[1]) * _NS[match[2] or unit])


def parse_by_direction(text: str) -> list[str]:
    """fio's lists for reads, writes and trims: what is missing is as the one before it."""
    parts = text.split(",")
    return [parts[min(index, len(parts) - 1)] for index in range(3)]


def parse_percentiles(text: str) -> tuple[float, ...]:
    """`50:99:99.9`, in any order."""
    try:
        percentiles = sorted(float(part) for part in text.split(":"))
    except ValueError:
        percentiles = [-1.0]
    if not 0 <= percentiles[0] <= percentiles[-1] <= 100:
        raise OptionError(f"--percentile_list: {text!r} is not a list such as 50:99:99.9")
    if len(percentiles) > MAX_PERCENTILES:
        raise OptionError(f"--percentile_list has more than {MAX_PERCENTILES} entries")
    return tuple(percentiles)
