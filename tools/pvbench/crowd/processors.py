"""Where a thread runs."""

import os


def settle(cpu: int | None, shared: bool) -> None:
    """Keeps the calling thread on a processor; None: it stays free.

    On a `shared` one it is not interrupted by those it wakes, but goes on until it sleeps: they
    would find little to do, and the lock taken that it was waking them under.
    """
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    if shared:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
