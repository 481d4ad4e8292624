"""Where a thread runs."""

import os


def pin_thread(processor: int | None, shared: bool, thread: int = 0) -> None:
    """Keeps a thread, by default the calling one, on a processor; None: it stays free.

    On a `shared` one it is not interrupted by those it wakes, but goes on until it sleeps: they
    would find little to do, and the lock taken that it was waking them under.
    """
    if processor is not None:
        os.sched_setaffinity(thread, {processor})
    if shared:
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
