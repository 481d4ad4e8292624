"""What the options of fio say that have a syntax of their own."""

import math

from pvdrivers.ring.abi import SECTOR
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.job import Distribution, Sizes
from pvdrivers.tools.pvbench.units import parse_by_direction, parse_size

MAX_SHARES = 64  # fio's, and the workload's


def parse_bs(text: str, kb_base: int) -> list[Sizes]:
    """`4k`, or `4k,64k` for reads and writes; an empty one is 4k. Raises OptionError, as all of
    these."""
    parts = [_block("--bs", part or "4k", kb_base) for part in parse_by_direction(text)]
    return [Sizes(size, size) for size in parts]


def parse_bsrange(text: str, kb_base: int) -> list[Sizes]:
    """`4k-64k`, or one for each direction."""
    ranges = []
    for part in parse_by_direction(text):
        low, _, high = part.partition("-")
        sizes = Sizes(_block("--bsrange", low, kb_base), _block("--bsrange", high, kb_base))
        if sizes.min > sizes.max:
            raise OptionError(f"--bsrange: {part!r} ends before it begins")
        ranges.append(sizes)
    return ranges


def parse_bssplit(text: str, kb_base: int) -> list[Sizes]:
    """`4k/60:64k/30:8k`: sizes and their percents, or one list for each direction."""
    return [_split(part, kb_base) for part in parse_by_direction(text)]


def _split(text: str, kb_base: int) -> Sizes:
    entries = [entry.partition("/") for entry in text.split(":")]
    if len(entries) > MAX_SHARES:
        raise OptionError(f"--bssplit: {len(entries)} sizes are more than {MAX_SHARES}")
    sizes = [_block("--bssplit", size, kb_base) for size, _, _ in entries]
    try:
        given = [int(percent) if percent else None for _, _, percent in entries]
    except ValueError:
        raise OptionError(f"--bssplit: {text!r} is not a list such as 4k/60:64k/40") from None
    left = 100 - sum(percent or 0 for percent in given)
    open_ones = given.count(None)
    if left < 0 or (left and not open_ones) or any(p is not None and p < 0 for p in given):
        raise OptionError(f"--bssplit: the percents of {text!r} do not add up to 100")
    percents = []
    for percent in given:
        if percent is None:  # an equal part of what the others leave
            percent = left // open_ones
            left, open_ones = left - percent, open_ones - 1
        percents.append(percent)
    return Sizes(min(sizes), max(sizes), list(zip(sizes, percents, strict=True)))


def _block(option: str, text: str, kb_base: int) -> int:
    size = parse_size(option, text, kb_base)
    if size == 0 or size % SECTOR:
        raise OptionError(f"{option}: {text} is not a multiple of {SECTOR} bytes")
    return size


def common_unit(sizes: list[Sizes]) -> int:
    """Bytes that all offsets are multiples of."""
    return math.gcd(*(direction.min for direction in sizes))


def parse_distribution(text: str) -> tuple[Distribution, float]:
    """`random`, `zipf:1.2` or `pareto:0.2`, and the number."""
    kind, _, number = text.partition(":")
    if text == "random":
        return "random", 0.0
    try:
        value = float(number) if number else {"zipf": 1.1, "pareto": 0.2}[kind]
    except (KeyError, ValueError):
        value = -1.0
    if kind == "zipf" and 0 < value < 100 and value != 1:
        return "zipf", value
    if kind == "pareto" and 0 < value < 1:
        return "pareto", value
    raise OptionError(
        f"--random_distribution: {text!r} is none of random, zipf:THETA (above 0, not 1) and "
        "pareto:H (between 0 and 1)"
    )


def parse_rates(option: str, text: str, kb_base: int) -> tuple[int, int, int]:
    """A number for all directions, or one for each; none is no limit."""
    rates = [parse_size(option, part, kb_base) if part else 0 for part in text.split(",")]
    read, write, trim = (rates[min(i, len(rates) - 1)] for i in range(3))
    return read, write, trim
