"""The processors that both contenders of a comparison have."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def processors() -> tuple[int, int]:
    """One for each half: the first two that this process may use, or the only one twice."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[:2][-1]


@contextmanager
def same_processors() -> Iterator[None]:
    """Keeps this process and those it starts on two processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(processors()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
