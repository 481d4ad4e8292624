"""The operations that a disk's store has failed and that were answered with an error."""

import errno
import logging
from dataclasses import dataclass

from pvdrivers.backends.stores.store import StoreOperation

log = logging.getLogger("pvdrivers.backends.vbd")


@dataclass(frozen=True, slots=True)
class StoreError:
    """An operation that a store has failed."""

    operation: StoreOperation
    sector: int  # where it begins, in units of 512 bytes
    sectors: int
    error: int  # errno

    def __str__(self) -> str:
        name = errno.errorcode.get(self.error, str(self.error))
        where = f" of {self.sectors} sectors at {self.sector}" if self.sectors else ""
        return f"{self.operation.name.lower()}{where}: {name}"


class StoreErrors:
    """The errors of one device's store, over all its connections."""

    def __init__(self, path: str) -> None:
        self.last: StoreError | None = None
        self.count = 0
        self._path = path

    def add(self, last: StoreError, new: int, store: object) -> None:
        """Logs that `store` has failed `new` operations, and the `last` of them."""
        self.last = last
        self.count += new
        log.error("%s: %s, %d failures so far, on %r", self._path, last, self.count, store)
