"""SCSI commands as the data plane has them, and what comes of them."""

import asyncio
from typing import Any, NamedTuple, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.result import TASK_MANAGEMENT_SUCCESS, HostByte, Result, Status
from pvdrivers.scsi.sense import Sense

CDB, ABORT, RESET = (
    int(lib.VSCSIIF_ACT_SCSI_CDB),
    int(lib.VSCSIIF_ACT_SCSI_ABORT),
    int(lib.VSCSIIF_ACT_SCSI_RESET),
)
MAX_CDB = int(lib.VSCSIIF_MAX_COMMAND_SIZE)
TO_DEVICE, FROM_DEVICE = int(lib.VSCSIIF_TO_DEVICE), int(lib.VSCSIIF_FROM_DEVICE)
NO_DATA = int(lib.VSCSIIF_NO_DATA)


class CommandResult(NamedTuple):
    """How a command ended.

    `status` is the logical unit's, if `host` is OK; otherwise the unit has not answered. `sense` is
    as it came; `data`: what was read; `residual`: how many bytes of what was asked for were not
    transferred.
    """

    status: int
    host: int = HostByte.OK
    sense: bytes = b""
    data: bytes = b""
    residual: int = 0

    @property
    def good(self) -> bool:
        return self.status == Status.GOOD and self.host == HostByte.OK

    @property
    def parsed_sense(self) -> Sense | None:
        """None: there is none, or it is in no format of SPC's."""
        return Sense.parse(self.sense)


class Submitted(Protocol):
    """Who keeps a command while it is submitted, and while it is aborted."""

    @property
    def cdata(self) -> Any:
        """`struct pv_scsifront_command *`."""


class Issued:
    """A `struct pv_scsifront_command`, what it points to, and the future of its end."""

    def __init__(self, act: int, address: ScsiAddress) -> None:
        self.cdata = ffi.new("struct pv_scsifront_command *")
        self.address = address
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._data: Any = ffi.NULL
        self._subject: Submitted | None = None
        self.cdata.act = act
        self.cdata.channel, self.cdata.target = address.channel, address.target
        self.cdata.lun = address.lun

    @classmethod
    def command(cls, address: ScsiAddress, cdb: bytes, data_out: bytes, room: int) -> "Issued":
        """UsageError: it is no command of one direction."""
        if not 1 <= len(cdb) <= MAX_CDB:
            raise UsageError(f"a CDB has 1 to {MAX_CDB} bytes, not {len(cdb)}")
        if room < 0 or (room and data_out):
            raise UsageError("a command has data for the device or room for the device's, not both")
        issued = cls(CDB, address)
        cdata = issued.cdata
        cdata.cdb_length = len(cdb)
        ffi.memmove(cdata.cdb, cdb, len(cdb))
        cdata.direction = TO_DEVICE if data_out else FROM_DEVICE if room else NO_DATA
        cdata.length = len(data_out) or room
        if data_out:
            issued._data = ffi.from_buffer(data_out)
        elif room:
            issued._data = ffi.new("uint8_t[]", room)
        cdata.data = issued._data
        return issued

    @classmethod
    def abort(cls, subject: Submitted) -> "Issued":
        command = subject.cdata
        issued = cls(ABORT, ScsiAddress(0, command.channel, command.target, command.lun))
        issued.cdata.subject = command
        issued._subject = subject
        return issued

    @classmethod
    def reset(cls, address: ScsiAddress) -> "Issued":
        """Of the logical unit."""
        return cls(RESET, address)

    def finish(self) -> None:
        """The data plane has returned it."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, host: int) -> None:
        """It ends before it was given to the data plane."""
        self.cdata.rslt = Result(Status.GOOD, host).word
        self.cdata.residual = self.cdata.length
        self.finish()

    async def ends_within(self, seconds: float | None) -> bool:
        """Waits, and leaves the command alone when the time is over."""
        await asyncio.wait([self.done], timeout=seconds)
        return self.done.done()

    @property
    def result(self) -> CommandResult:
        """Of a CDB that has ended."""
        cdata = self.cdata
        word = cdata.rslt
        status, host = Result.of(word) if word else (Status.GOOD, HostByte.OK)
        data = b""
        if cdata.direction == FROM_DEVICE:
            data = bytes(ffi.buffer(self._data, cdata.length - cdata.residual))
        sense = bytes(ffi.buffer(cdata.sense, cdata.sense_length)) if cdata.sense_length else b""
        return CommandResult(status, host, sense, data, int(cdata.residual))

    @property
    def succeeded(self) -> bool:
        """An ABORT or RESET that has ended."""
        return bool(self.cdata.rslt == TASK_MANAGEMENT_SUCCESS)
