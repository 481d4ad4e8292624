"""Hypercalls by Xen's numbers, with arguments in this process's memory."""

from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.sim import Machine


def address_of(memory: Any) -> int:
    """Of what cffi has made, or of a bytearray: as long as that is there."""
    is_bytes = isinstance(memory, bytearray)
    return int(ffi.cast("uintptr_t", ffi.from_buffer(memory) if is_bytes else memory))


def hypercall(machine: Machine, caller: int, op: int, *args: Any) -> int:
    """Each argument is a number, or memory whose address is it."""
    words = [arg if isinstance(arg, int) else address_of(arg) for arg in args]
    words += [0] * (lib.PV_HYPERCALL_ARGS - len(words))
    return int(lib.pv_hypercall(machine.cdata, caller, op, words))
