"""How the simulated machine refuses."""

import os


class MachineError(OSError):
    """The machine refused a call; `errno` says why."""


def check(result: int, what: str) -> int:
    """A call's result, which is not negative. MachineError: `what`, and why not."""
    if result < 0:
        raise MachineError(-result, f"{what}: {os.strerror(-result)}")
    return result
