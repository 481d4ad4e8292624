"""Objects of the C library that a Python object owns: made or refused, and closed by a `with`."""

import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from pvdrivers._core import ffi


def created(pointer: Any, what: str) -> Any:
    """The pointer. OSError, about `what`: it is NULL, and errno says why."""
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, f"{what}: {os.strerror(ffi.errno)}")
    return pointer


class Owned(ABC):
    """Closed at the end of a `with`."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
