"""libiscsi (Debian's libiscsi7), an iSCSI initiator in C, loaded when it is used.

Nothing here blocks: a context's file descriptor is polled by whoever uses it, who calls
`iscsi_service`. Numbers are those of iscsi.h and scsi-lowlevel.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_ubyte, c_uint32, c_void_p
from functools import cache
from itertools import count
from typing import Any

from pvdrivers.ring.errors import UsageError

SONAME = "libiscsi.so.7"
CANCELLED = 0x0F000000  # statuses above those of SCSI: the command has no answer
SESSION_NORMAL = 2
XFER_NONE, XFER_READ, XFER_WRITE = range(3)
UNDERFLOW = 1  # what a residual is


class Iovec(Structure):
    _fields_ = (("base", c_void_p), ("length", c_size_t))


class _Sense(Structure):
    _fields_ = (("content", c_uint32 * 4),)


class ScsiTask(Structure):
    """Of struct scsi_task, as much as is read here."""

    _fields_ = (
        ("status", c_int),
        ("cdb_size", c_int),
        ("xfer_dir", c_int),
        ("expxferlen", c_int),
        ("cdb", c_ubyte * 16),
        ("residual_status", c_int),
        ("residual", c_size_t),
        ("sense", _Sense),
        ("datain_size", c_int),
        ("datain", c_void_p),
    )


Task = Any  # a pointer to a ScsiTask
Ended = Callable[[int], object]  # with a status
_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_void_p)

_waiting: dict[int, Ended] = {}
_numbers = count(1)


def _tell(context: int, status: int, data: int | None, number: int) -> None:
    if ended := _waiting.pop(number, None):
        ended(status)


_ended = _CALLBACK(_tell)


def when_ended(call: Ended) -> tuple[Any, int]:
    """The callback and its argument that an asynchronous function takes, by which it calls `call`
    once. That must not destroy the context."""
    number = next(_numbers)
    _waiting[number] = call
    return _ended, number


def forget(number: int) -> None:
    """What has not ended will not be told."""
    _waiting.pop(number, None)


_TASK = POINTER(ScsiTask)
_FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what it returns, what it takes
    "iscsi_create_context": (c_void_p, c_char_p),
    "iscsi_destroy_context": (c_int, c_void_p),
    "iscsi_set_targetname": (c_int, c_void_p, c_char_p),
    "iscsi_set_session_type": (c_int, c_void_p, c_int),
    "iscsi_set_isid_random": (c_int, c_void_p, c_uint32, c_uint32),
    "iscsi_set_noautoreconnect": (None, c_void_p, c_int),
    "iscsi_set_initiator_username_pwd": (c_int, c_void_p, c_char_p, c_char_p),
    "iscsi_get_error": (c_char_p, c_void_p),
    "iscsi_get_fd": (c_int, c_void_p),
    "iscsi_which_events": (c_int, c_void_p),
    "iscsi_service": (c_int, c_void_p, c_int),
    "iscsi_full_connect_async": (c_int, c_void_p, c_char_p, c_int, _CALLBACK, c_void_p),
    "iscsi_logout_async": (c_int, c_void_p, _CALLBACK, c_void_p),
    "iscsi_nop_out_async": (c_int, c_void_p, _CALLBACK, c_char_p, c_int, c_void_p),
    "iscsi_scsi_command_async": (c_int, c_void_p, c_int, _TASK, _CALLBACK, c_void_p, c_void_p),
    "iscsi_scsi_cancel_task": (c_int, c_void_p, _TASK),
    "iscsi_task_mgmt_abort_task_async": (c_int, c_void_p, _TASK, _CALLBACK, c_void_p),
    "iscsi_task_mgmt_async": (
        c_int, c_void_p, c_int, c_int, c_uint32, c_uint32, _CALLBACK, c_void_p,
    ),
    "scsi_create_task": (_TASK, c_int, c_char_p, c_int, c_int),
    "scsi_free_scsi_task": (None, _TASK),
    "scsi_task_set_iov_in": (None, _TASK, POINTER(Iovec), c_int),
    "scsi_task_set_iov_out": (None, _TASK, POINTER(Iovec), c_int),
}  # fmt: skip


@cache
def library() -> Any:
    """UsageError: it is not installed."""
    try:
        loaded = ctypes.CDLL(SONAME)
    except OSError as error:
        raise UsageError(f"iSCSI LUNs need {SONAME} (Debian package libiscsi7): {error}") from error
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    return loaded
