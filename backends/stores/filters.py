"""Stores that stand on a store and change what happens to its operations, after nbdkit's filters.

Everything random comes from a seed: the same operations in the same order have the same outcome, so
that a failed run can be played again.
"""

import errno
import os
from collections.abc import Iterable
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.stores.store import BlockStore, StoreOperation
from pvdrivers.ring.errors import UsageError

DATA_OPERATIONS = (StoreOperation.READ, StoreOperation.WRITE)


class Filter(BlockStore):
    """A store that stands on another and owns it: closing the filter closes both."""

    def __init__(self, below: BlockStore, create: Any, *arguments: Any) -> None:
        below.check_unused()
        super().__init__(created(create(below.pointer, *arguments), type(self).__name__))
        self.below = below
        self.discard_gives_zeros = below.discard_gives_zeros
        below._pointer = None

    def mapped(self, sector: int) -> tuple[bool, int]:
        return self.below.mapped(sector)

    def prefetch(self, sector: int, count: int) -> None:
        self.below.prefetch(sector, count)

    def where(self) -> str:
        return f"{self.name} on {self.below.where()}"

    def _forget(self) -> None:
        super()._forget()
        self.below._forget()


def _mask(operations: Iterable[StoreOperation]) -> int:
    return sum(1 << operation for operation in set(operations))


def _fault(
    seed: int, probability: float, operations: Iterable[StoreOperation], after: int, error: int
) -> Any:
    if not 0 <= probability <= 1:
        raise UsageError(f"a probability of {probability} is not between 0 and 1")
    if error <= 0:
        raise UsageError(f"{error} is not an errno")
    fault = ffi.new("struct pv_blk_fault *")
    fault.seed = seed % 2**64
    fault.probability = probability
    fault.operations = _mask(operations)
    fault.after = after
    fault.error = error
    return fault


class ErrorFilter(Filter):
    """Fails a share of the operations with `error`, and does not carry them out.

    The first `after` of these operations pass. The same seed strikes the same operations.
    """

    def __init__(
        self,
        below: BlockStore,
        *,
        seed: int,
        probability: float = 1.0,
        operations: Iterable[StoreOperation] = tuple(StoreOperation),
        after: int = 0,
        error: int = errno.EIO,
    ) -> None:
        fault = _fault(seed, probability, operations, after, error)
        super().__init__(below, lib.pv_error_filter_create, fault)


class ShortFilter(Filter):
    """Carries out a random prefix of the sectors of a READ or WRITE, then fails it with `error`."""

    def __init__(
        self,
        below: BlockStore,
        *,
        seed: int,
        probability: float = 1.0,
        operations: Iterable[StoreOperation] = DATA_OPERATIONS,
        after: int = 0,
        error: int = errno.EIO,
    ) -> None:
        fault = _fault(seed, probability, operations, after, error)
        super().__init__(below, lib.pv_short_filter_create, fault)


class TornFilter(Filter):
    """Leaves what a power cut does: only a prefix of a WRITE's sectors is stored, then EIO."""

    def __init__(
        self, below: BlockStore, *, seed: int, probability: float = 1.0, after: int = 0
    ) -> None:
        fault = _fault(seed, probability, (StoreOperation.WRITE,), after, errno.EIO)
        super().__init__(below, lib.pv_torn_filter_create, fault)


class DelayFilter(Filter):
    """Holds operations back for `delay` and a random part of `jitter`, both in ns."""

    def __init__(
        self,
        below: BlockStore,
        *,
        delay: int,
        jitter: int = 0,
        seed: int = 0,
        operations: Iterable[StoreOperation] = tuple(StoreOperation),
    ) -> None:
        if delay < 0 or jitter < 0:
            raise UsageError("a delay cannot be negative")
        mask = _mask(operations)
        super().__init__(below, lib.pv_delay_filter_create, seed % 2**64, delay, jitter, mask)


class RateFilter(Filter):
    """Lets `bytes_per_second` of READ and WRITE through, in order, after a pause `burst` bytes."""

    def __init__(self, below: BlockStore, *, bytes_per_second: int, burst: int = 0) -> None:
        if bytes_per_second <= 0 or burst < 0:
            raise UsageError(f"{bytes_per_second} bytes a second with a burst of {burst}")
        super().__init__(below, lib.pv_rate_filter_create, bytes_per_second, burst)


class LogFilter(Filter):
    """Appends a line to a file when an operation completes: number, operation, sector, sectors,
    status."""

    def __init__(self, below: BlockStore, path: str | os.PathLike[str]) -> None:
        super().__init__(below, lib.pv_log_filter_create, os.fsencode(path))
