"""A guest cannot fill the log: lines are counted."""

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbackd.logs import SUBJECTS_MAX, RateLimit, formatter

PATH = "/local/domain/0/backend/vbd/3/51712"


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("pvdrivers.xenbus", logging.WARNING, "", 0, message, args, None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 3)), max_size=200))
def test_never_more_than_the_burst_in_an_interval(steps: list[tuple[float, int]]) -> None:
    """And nothing goes uncounted. The oracle is a plain list of what passed when."""
    clock = Clock()
    limit = RateLimit(burst=3, interval=10.0, clock=clock)
    passed: dict[int, list[float]] = {}
    told = 0
    for wait, device in steps:
        clock.now += wait
        line = record("%s: %s", f"device {device}", f"text {clock.now}")
        if limit.filter(line):
            passed.setdefault(device, []).append(clock.now)
            told += getattr(line, "suppressed", 0)
    total = sum(map(len, passed.values()))
    assert limit.suppressed == len(steps) - total
    assert told <= limit.suppressed
    for times in passed.values():
        # Two intervals may meet: then there are twice as many at once, and never more.
        for first, seventh in zip(times, times[6:], strict=False):
            assert seventh - first >= 10.0


def test_the_guests_text_does_not_make_another_subject() -> None:
    limit = RateLimit(burst=5, interval=60.0, clock=Clock())
    lines = [record("%s: %s", PATH, f"protocol {number!r} is not known") for number in range(1000)]
    assert sum(map(limit.filter, lines)) == 5
    assert limit.suppressed == 995


def test_what_was_held_back_is_told_later() -> None:
    clock = Clock()
    limit = RateLimit(burst=1, interval=60.0, clock=clock)
    assert limit.filter(record("%s: noise", PATH))
    assert not limit.filter(record("%s: noise", PATH))
    assert not limit.filter(record("%s: noise", PATH))
    clock.now = 61.0
    line = record("%s: noise", PATH)
    assert limit.filter(line)
    text = formatter(json=False).format(line)
    assert "suppressed=2" in text
    assert f"device='{PATH}'" in text
    assert "event='noise'" in text


def test_memory_is_bounded() -> None:
    limit = RateLimit(burst=1, interval=60.0)
    for number in range(SUBJECTS_MAX + 100):
        limit.filter(record("%s: hello", f"/{number}"))
    assert len(limit._subjects) == SUBJECTS_MAX


def test_one_line_whatever_the_guest_writes() -> None:
    line = record("%s: %s", PATH, "\x1b[2Jfirst\nlevel='info' event='forged'\u2028")
    assert len(formatter(json=False).format(line).splitlines()) == 1
    told = json.loads(formatter(json=True).format(line))
    assert told["device"] == PATH
    assert told["event"].startswith("\x1b[2Jfirst\n")
    assert told["level"] == "warning"
    assert "\x1b" not in formatter(json=True).format(line)
