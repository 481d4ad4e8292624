"""One SCSI command of an initiator, from its PDU to its response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pvdrivers.backends.targets.command import INVALID_FIELD_IN_CDB
from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.scsi.lun import encode_report
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.tools.pvbridge.iscsi.initiator import Initiator, Running
from pvdrivers.tools.pvbridge.iscsi.lengths import fit
from pvdrivers.tools.pvbridge.iscsi.pdu import Pdu
from pvdrivers.tools.pvbridge.iscsi.transfer import WriteData

if TYPE_CHECKING:
    from pvdrivers.tools.pvbridge.iscsi.connection import Connection

READ, WRITE = 0x40, 0x20  # flags of a command
INQUIRY, REPORT_LUNS = 0x12, 0xA0
LENGTHS = (6, 10, 10, 16, 16, 12, 16, 16)  # of CDBs, by the highest three bits of the opcode
NO_UNIT = bytes([0x7F, 0, 6, 2, 31]) + bytes(31)  # peripheral qualifier 3: not possible here
LUN_NOT_SUPPORTED = CommandResult(
    Status.CHECK_CONDITION, sense=Sense(SenseKey.ILLEGAL_REQUEST, 0x25, 0x00).fixed()
)
TOO_LONG = LUN_NOT_SUPPORTED._replace(
    sense=Sense(SenseKey.ILLEGAL_REQUEST, *INVALID_FIELD_IN_CDB).fixed()
)


class Task:
    def __init__(self, connection: Connection, pdu: Pdu, initiator: Initiator) -> None:
        """ProtocolError: its immediate data cannot be."""
        self.connection = connection
        self.pdu = pdu
        self.lun = pdu.lun
        self._initiator = initiator
        self._write: WriteData | None = None
        self.tag, self._flags, self._expected = pdu.tag, pdu.flags, pdu.transfer_tag
        self._too_large = self._expected > initiator.max_transfer
        if self._flags & WRITE and not self._too_large:
            tag = connection.session.next_transfer_tag()
            self._write = WriteData(pdu, connection.session.parameters, tag)
        self._overflow = 0  # bytes that the command moves beyond what is expected
        self._may_run = False  # its turn has come
        self._is_cancelled = False
        self._running: Running | None = None
        self._aborting: asyncio.Task[None] | None = None

    # ---- what its connection calls ---------------------------------------------------------

    def is_of(self, connection: Connection) -> bool:
        return self.connection is connection

    def start(self) -> None:
        """Its turn has come."""
        if not self._is_cancelled:
            self._may_run = True
            self._go_on()

    def add_data(self, pdu: Pdu) -> None:
        """A Data-Out. ProtocolError: it is not what was asked for."""
        if self._write:
            self._write.add(pdu)
            self._go_on()

    def cancel(self) -> None:
        """It is not answered any more."""
        self.connection.session.forget(self)
        self._is_cancelled, self._may_run = True, False
        if self._running and not self._aborting:
            abort = self._initiator.abort(self._running)
            self._aborting = asyncio.get_running_loop().create_task(abort)

    async def ended(self) -> None:
        """Waits for the end of one that was cancelled."""
        if self._aborting:
            await asyncio.wait([self._aborting])

    # ---- running ---------------------------------------------------------------------------

    def _go_on(self) -> None:
        """As far as it can: it asks for data, or begins when they are all here."""
        if not self._may_run or self._running:
            return
        if self._write and (r2t := self._write.next_r2t()):
            self.connection.wire.send(r2t, counts=False)
        if not self._write or self._write.complete:
            self._begin()

    def _begin(self) -> None:
        cdb, lun = bytes(self.pdu.header[32:48]), self.lun
        cdb = cdb[: LENGTHS[cdb[0] >> 5]]
        expected = self._expected
        if self._too_large:
            self._respond(TOO_LONG._replace(residual=expected))
            return
        if lun is None or lun not in self._initiator.luns:
            self._respond(self._without_unit(cdb, expected))
            return
        reads, initiator = bool(self._flags & READ), self._initiator
        size, limit = initiator.block_size(lun), initiator.max_transfer
        cdb, room, self._overflow = fit(cdb, expected, reads, size, limit)
        data_out = memoryview(self._write.data) if self._write else b""
        if self._overflow:
            data_out = data_out[: len(data_out) // size * size]
        self._running = initiator.submit(lun, cdb, data_out, room)
        self._running.done.add_done_callback(self._answered)

    def _answered(self, _: object) -> None:
        assert self._running
        if not self._may_run:
            return
        result = self._running.result
        if self._overflow:
            result = result._replace(data=result.data[: self._expected])
        self._respond(result)

    def _without_unit(self, cdb: bytes, expected: int) -> CommandResult:
        """What a target answers for a LUN that it does not have (SAM-5 5.11)."""
        if cdb[0] == INQUIRY and not cdb[1] & 1:
            data, room = NO_UNIT, int.from_bytes(cdb[3:5], "big")
        elif cdb[0] == REPORT_LUNS:
            data, room = encode_report(self._initiator.luns), int.from_bytes(cdb[6:10], "big")
        else:
            return LUN_NOT_SUPPORTED._replace(residual=expected)
        data = data[: min(room, expected)]
        return CommandResult(Status.GOOD, data=data, residual=expected - len(data))

    def _respond(self, result: CommandResult) -> None:
        self.connection.session.forget(self)
        self.connection.wire.answer(self.pdu, result, self._overflow)
