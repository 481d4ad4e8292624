"""fio's units: sizes in powers of 1024, times in seconds unless a suffix says otherwise."""

import re

from pvdrivers.tools.pvbench.errors import OptionError

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(option: str, text: str) -> int:
    """Bytes of "4k", "4KiB", "1m" or "4096". Raises OptionError naming the option."""
    match = re.fullmatch(r"(\d+)([kmgtp]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise OptionError(f"{option}: {text!r} is not a size such as 4k, 1m or 4096")
    return int(match[1]) << 10 * _POWERS[match[2]]


def parse_time(option: str, text: str) -> int:
    """Nanoseconds of "10", "10s", "500ms" or "2m". Raises OptionError naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|)", text.strip().lower())
    if match is None:
        raise OptionError(f"{option}: {text!r} is not a time such as 10s, 500ms or 2m")
    return int(float(match[1]) * _SECONDS[match[2]] * 1e9)
