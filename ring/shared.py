"""Memory shared with a peer, as C sees it."""

from mmap import mmap
from typing import Any

from pvdrivers._core import ffi

Area = bytearray | memoryview | mmap
"""Writable memory shared with the peer: one page or several side by side."""


def pin(area: Any, kind: str) -> tuple[memoryview, Any]:
    """A view that keeps `area` where it is as long as it lives, and a pointer of type `kind`.

    What cffi's from_buffer returns must not be kept for that: in a reference cycle, Python clears a
    memoryview before the cdata that stands on it, and crashes. Raises what from_buffer raises:
    BufferError for memory that is not writable, ValueError for less than the pointer's type needs.
    """
    passing = ffi.from_buffer(kind, area, require_writable=True)
    return memoryview(area).cast("B"), ffi.cast(kind, passing)
