"""Python face of the hypervisor's log and its debug keys (console.h)."""

from __future__ import annotations

from typing import Any

from pvdrivers._core import ffi, lib

_BATCH = 65536  # bytes


def read(machine: Any) -> str:
    """What is in the log of a `struct pv_machine *`, oldest line first."""
    buffer = ffi.new("char[]", _BATCH)
    state = ffi.new("struct pv_console_read *")
    text = b""
    while True:
        state.count = _BATCH
        lib.pv_console_read(machine, state, buffer)
        if state.count == 0:
            return text.decode()
        text += ffi.unpack(buffer, state.count)
        state.incremental = True


def press(machine: Any, keys: str) -> None:
    pressed = keys.encode("ascii", "replace")
    lib.pv_console_debug_keys(machine, pressed, len(pressed))
