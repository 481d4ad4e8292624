"""A store whose operations are carried out in Python, for what that costs."""

import select
import time
from collections.abc import Sequence
from typing import Any

from pvdrivers._core import lib
from pvdrivers.backends.stores.python_store import Batch, PythonStore
from pvdrivers.poll.drivers import make_group

LONGEST_WAIT = 50  # ms until the pump looks whether it shall end


class PythonNull(PythonStore):
    """Writes go nowhere and reads give zeros."""

    def handle(self, batch: Batch) -> None:
        batch.done()  # a READ's data are zeros already

    def pump(self, queues: Sequence[Any], mode: int, stop: Any) -> None:
        """Drives the queues that are served from here, in one thread, until *stop is not 0."""
        group = make_group(mode)
        for queue in queues:
            lib.pv_blkback_group_add(group, queue)
        waiting = select.poll()
        waiting.register(lib.pv_blkback_group_fd(group), select.POLLIN)
        while not stop[0]:
            if lib.pv_blkback_group_turn(group, time.monotonic_ns()) > 0:
                while self.serve():
                    pass
            elif mode != lib.PV_BLKBACK_POLL and not lib.pv_blkback_group_awake(group):
                waiting.poll(LONGEST_WAIT)
        lib.pv_blkback_group_destroy(group)
