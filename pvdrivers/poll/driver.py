"""What a device knows of the thread or loop that drives its queues."""

from typing import Any, Protocol


class PollDriver(Protocol):
    """Drives pollables (`struct pv_pollable *`): an asyncio loop, or threads.

    As long as a driver has a pollable, only the driver may use the pollable's event channel handle.
    """

    def add(self, pollable: Any) -> None:
        """Pumps the pollable from now on. OSError: there is no room for it."""

    def remove(self, pollable: Any) -> None:
        """Stops driving it: after this the pollable is the caller's again. Nothing happens to one
        that is not driven.

        A pump must call neither `add` nor `remove`: OSError.
        """
