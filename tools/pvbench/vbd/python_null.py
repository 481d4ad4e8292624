"""A store whose operations are carried out in Python, for what that costs."""

import select
import time
from collections.abc import Sequence
from typing import Any

from pvdrivers.backends.stores.python_store import PythonStore, StoreBatch
from pvdrivers.poll.group import Mode, PollGroup

LONGEST_WAIT = 50  # ms between two looks at *stop


class PythonNull(PythonStore):
    """Writes go nowhere and reads give zeros."""

    def handle(self, batch: StoreBatch) -> None:
        batch.done()  # a READ's data are zeros already

    def serve_queues(self, pollables: Sequence[Any], mode: Mode, stop: Any) -> None:
        """Drives queues that are served from here, in one thread, until *stop is not 0."""
        group = PollGroup(mode)
        for pollable in pollables:
            group.add(pollable)
        waiting = select.poll()
        waiting.register(group, select.POLLIN)
        while not stop[0]:
            if group.iterate(time.monotonic_ns()) > 0:
                while self.serve():
                    pass
            elif mode != "poll" and not group.awake:
                waiting.poll(LONGEST_WAIT)
        group.close()
