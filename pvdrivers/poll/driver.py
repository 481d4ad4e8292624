"""What a device knows of whoever pumps its queues."""

from typing import Any, Protocol


class PollDriver(Protocol):
    """Drives pollables (`struct pv_pollable *`): an asyncio loop, or threads.

    A pollable's event channel handle is the driver's alone as long as it has the pollable.
    """

    def add(self, pollable: Any) -> None:
        """The pollable is pumped from now on. OSError: there is no room for it."""

    def remove(self, pollable: Any) -> None:
        """When this returns the pollable is the caller's again; one that is not driven is already.

        Neither is for a pump to call: OSError.
        """
