"""A command in flight in an iSCSI session, with the memory that libiscsi reads and writes."""

from __future__ import annotations

import asyncio
from ctypes import addressof, byref, c_char, string_at

from pvdrivers.backends.targets.command import ABORTED, Answer, Command
from pvdrivers.backends.targets.passthrough import libiscsi
from pvdrivers.backends.targets.passthrough.libiscsi import Iovec, library
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import MAX_SENSE


class IscsiTransfer:
    """What is sent is copied: libiscsi may have data of a command queued that has been aborted, and
    whose initiator uses its memory again."""

    def __init__(self, command: Command) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.is_aborted = False
        self.is_answered = False
        sent = bytes(command.data_out)
        self._size = len(sent) or command.room
        self._is_read = not sent and command.room > 0
        direction = libiscsi.XFER_WRITE if sent else libiscsi.XFER_READ
        self.task = library().scsi_create_task(
            len(command.cdb),
            command.cdb,
            direction if self._size else libiscsi.XFER_NONE,
            self._size,
        )
        if not self.task:
            raise MemoryError
        if self._size:
            self._data = bytearray(sent or self._size)
            self._pinned = (c_char * self._size).from_buffer(self._data)
            self._iovec = Iovec(addressof(self._pinned), self._size)
            put = "scsi_task_set_iov_out" if sent else "scsi_task_set_iov_in"
            getattr(library(), put)(self.task, byref(self._iovec), 1)

    def ended(self, status: int) -> Answer | None:
        """None: it was not answered."""
        if status >= libiscsi.CANCELLED:
            return ABORTED if self.is_aborted else None
        self.is_answered = True
        task = self.task.contents
        missing = task.residual if task.residual_status == libiscsi.UNDERFLOW else 0
        sense = b""
        if status == Status.CHECK_CONDITION and task.datain_size > 2:
            told = string_at(task.datain, task.datain_size)
            sense = told[2 : 2 + min(int.from_bytes(told[:2], "big"), MAX_SENSE)]
        if self._is_read:
            return Answer(status, memoryview(self._data)[: max(0, self._size - missing)], sense)
        return Answer(status, b"", sense, min(missing, self._size))

    def free(self) -> None:
        library().scsi_free_scsi_task(self.task)
