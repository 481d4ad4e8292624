"""A store whose operations are carried out in Python, for what that costs."""

import select
import threading
from collections.abc import Sequence

from pvdrivers.backends.vbd.store import SECTOR, Operation, PythonStore, Request, Result

LONGEST_WAIT = 50  # ms until the thread looks whether it shall end


class PythonNull(PythonStore):
    """Writes go nowhere and reads give zeros. A thread serves it until `close`."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._zeros: dict[int, bytes] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._serve, name="pvbench store", daemon=True)
        self._thread.start()

    def handle(self, batch: Sequence[Request]) -> list[Result]:
        return [
            self._read(request.count) if request.operation == Operation.READ else None
            for request in batch
        ]

    def _read(self, count: int) -> bytes:
        zeros = self._zeros.get(count)
        if zeros is None:
            zeros = self._zeros[count] = bytes(count * SECTOR)
        return zeros

    def _serve(self) -> None:
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLIN)
        while not self._ending:
            if waiting.poll(LONGEST_WAIT):
                self.serve()

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        super().close()
