"""A file descriptor of Linux's SCSI generic driver, /dev/sgN, on which commands are in flight.

A header of version 3 is written, and read back when the command has ended (include/scsi/sg.h); the
kernel takes and gives data at these moments, so memory belongs to it at no other time.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
from ctypes import (
    Structure,
    addressof,
    c_char,
    c_int,
    c_ubyte,
    c_uint,
    c_ushort,
    c_void_p,
    create_string_buffer,
    sizeof,
)
from itertools import count
from typing import Self

from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.backends.targets.passthrough.policy import cdb_length
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import MAX_SENSE

SG_GET_VERSION_NUM, SG_SCSI_RESET = 0x2282, 0x2284
VERSION_3 = 30000
NO_DATA, TO_DEVICE, FROM_DEVICE = -1, -2, -3
_RESET_DEVICE = 1
_QUEUE_IS_FULL = (errno.EDOM, errno.EAGAIN)


class SgHeader(Structure):
    """struct sg_io_hdr."""

    _fields_ = (
        ("interface_id", c_int),
        ("dxfer_direction", c_int),
        ("cmd_len", c_ubyte),
        ("mx_sb_len", c_ubyte),
        ("iovec_count", c_ushort),
        ("dxfer_len", c_uint),
        ("dxferp", c_void_p),
        ("cmdp", c_void_p),
        ("sbp", c_void_p),
        ("timeout", c_uint),  # ms
        ("flags", c_uint),
        ("pack_id", c_int),
        ("usr_ptr", c_void_p),
        ("status", c_ubyte),
        ("masked_status", c_ubyte),
        ("msg_status", c_ubyte),
        ("sb_len_wr", c_ubyte),
        ("host_status", c_ushort),
        ("driver_status", c_ushort),
        ("resid", c_int),
        ("duration", c_uint),
        ("info", c_uint),
    )


class NoSgDevice(OSError):
    """It is something else."""


class _Transfer:
    """A command, and the memory that its header names."""

    def __init__(self, command: Command, number: int, time_limit: float) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        sent = bytes(command.data_out)
        self._data = bytearray(sent or command.room)
        self._pinned = (c_char * len(self._data)).from_buffer(self._data)
        self._cdb = create_string_buffer(command.cdb, 16)
        self._sense = create_string_buffer(MAX_SENSE)
        self._is_read = not sent and command.room > 0
        self.header = SgHeader(
            interface_id=ord("S"),
            dxfer_direction=TO_DEVICE if sent else FROM_DEVICE if self._is_read else NO_DATA,
            cmd_len=cdb_length(command.cdb),
            mx_sb_len=MAX_SENSE,
            dxfer_len=len(self._data),
            dxferp=addressof(self._pinned) if self._data else None,
            cmdp=addressof(self._cdb),
            sbp=addressof(self._sense),
            timeout=int(time_limit * 1000),
            pack_id=number,
        )

    def ended(self, header: SgHeader) -> None:
        if self.answer.done():
            return
        size = len(self._data)
        moved = max(0, min(size, size - header.resid))
        self.answer.set_result(
            Answer(
                header.status & 0x7E,
                memoryview(self._data)[:moved] if self._is_read else b"",
                self._sense.raw[: header.sb_len_wr],
                0 if self._is_read else size - moved,
                header.host_status,
            )
        )


class SgSession(Session):
    def __init__(self, fd: int, time_limit: float) -> None:
        """Owns `fd`, which does not block. `time_limit`: seconds after which the kernel ends a
        command."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._time_limit = time_limit
        self._numbers = count(1)
        self._transfers: dict[int, _Transfer] = {}
        self._loop.add_reader(fd, self._read)

    @classmethod
    async def open(cls, path: str, time_limit: float) -> Self:
        """NoSgDevice, or another OSError: it cannot be had, or not now."""
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            version = bytearray(4)
            try:
                fcntl.ioctl(fd, SG_GET_VERSION_NUM, version)
            except OSError as error:
                raise NoSgDevice(f"{path} is no SCSI generic device, as /dev/sg0 is") from error
            if struct.unpack("=i", version)[0] < VERSION_3:
                raise NoSgDevice(f"{path} is of a driver older than version 3")
            return cls(fd, time_limit)
        except BaseException:
            os.close(fd)
            raise

    async def execute(self, command: Command) -> Answer:
        self.check_open()
        number = next(self._numbers) & 0x7FFFFFFF
        transfer = _Transfer(command, number, self._time_limit)
        try:
            os.write(self._fd, bytes(transfer.header))
        except OSError as error:
            if error.errno in _QUEUE_IS_FULL:
                return Answer(Status.TASK_SET_FULL)
            self._lose(f"it takes no command: {error.strerror}")
            self.check_open()
        self._transfers[number] = transfer
        return await transfer.answer

    def _read(self) -> None:
        """All that has ended."""
        try:
            while not self.lost.done():
                content = os.read(self._fd, sizeof(SgHeader))
                if len(content) < sizeof(SgHeader):
                    self._lose("it is gone")
                    return
                header = SgHeader.from_buffer_copy(content)
                if transfer := self._transfers.pop(header.pack_id, None):
                    transfer.ended(header)
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"it gives no answer: {error.strerror}")

    def abort(self, command: Command) -> None:
        """The driver ends no command before its time: its own answer comes."""

    def reset(self) -> None:
        self.check_open()
        fcntl.ioctl(self._fd, SG_SCSI_RESET, struct.pack("=i", _RESET_DEVICE))

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self._loop.remove_reader(self._fd)
        self.lost.set_result(reason)
        for transfer in self._transfers.values():
            if not transfer.answer.done():
                transfer.answer.set_exception(ConnectionError(reason))
        self._transfers.clear()

    def close(self) -> None:
        if self._fd < 0:
            return
        if not self._loop.is_closed():
            self._lose("it was closed")
        os.close(self._fd)
        self._fd = -1
