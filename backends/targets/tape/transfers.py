"""READ, WRITE, WRITE FILEMARKS, ERASE and READ BLOCK LIMITS (SSC-4 6, 7)."""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from pvdrivers.backends.targets.command import Answer, CheckCondition, Command, invalid_field
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.tape.image import (
    FILEMARK_SPACE,
    LARGEST_RECORD,
    Position,
    record_space,
)
from pvdrivers.backends.targets.tape.tape_unit import (
    END_OF_MEDIUM,
    ERASE_FAILURE,
    PROGRAMMABLE_WARNING,
    WRITE_ERROR,
    WRITE_FAILURE,
    TapeUnit,
    at_end_of_data,
    at_filemark,
)
from pvdrivers.scsi.sense import Sense, SenseKey

LARGEST_TRANSFER = 64 << 20  # bytes of one command

_FIXED, _SILI = 0x01, 0x02
_READ = b"\x08"
_START = struct.Struct("<QQQQI")  # a position and a block length
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _ReadResult(NamedTuple):
    data: bytes
    after: Position
    sense: Sense | None = None


class Transfers(TapeUnit):
    """Whoever reads moves the tape, which is what a reservation forbids as it forbids writing."""

    _read_began = bytes(_START.size)

    # ---- READ --------------------------------------------------------------------------------

    @operation(0x08, "READ(6)", "08 03 ff ff ff 00", needs=Needs.READY)
    def read_6(self, command: Command) -> bytes:
        self._read_began = _START.pack(*self.position, self.block_length)
        result = self._read(command, self.position, self.block_length)
        self.position = result.after
        self.bytes_read += len(result.data)
        if result.sense:
            raise CheckCondition(result.sense, result.data)
        return result.data

    def recorded(self, command: Command, answer: Answer) -> Answer:
        """A READ's data are on the tape, so where it began will do."""
        if command.cdb[:1] == _READ:
            return answer._replace(data=self._read_began)
        return super().recorded(command, answer)

    def answer_again(self, command: Command, recorded: Answer) -> Answer:
        if command.cdb[:1] == _READ:
            *place, block_length = _START.unpack(recorded.data)
            return recorded._replace(data=self._read(command, Position(*place), block_length).data)
        return super().answer_again(command, recorded)

    def _read(self, command: Command, position: Position, block_length: int) -> _ReadResult:
        fixed, silent = command.cdb[1] & _FIXED, command.cdb[1] & _SILI
        length = command.number(2, 3)
        if fixed:
            self._check_fixed(length, block_length)
            if silent:
                raise invalid_field(1, 1)
            return self._read_fixed(position, length, block_length)
        if not length:
            return _ReadResult(b"", position)
        return self._read_variable(position, length, bool(silent), block_length)

    def _read_variable(
        self, position: Position, length: int, silent: bool, block_length: int
    ) -> _ReadResult:
        found = self._read_object(position, length)
        if isinstance(found, _ReadResult):
            return found
        data, actual, after = found
        differs = length != actual
        # SILI silences a block that is too short, and one that is too long if there is no length
        # that all blocks should have.
        if differs and not (silent and (length > actual or not block_length)):
            return _ReadResult(data, after, _incorrect_length(length - actual))
        return _ReadResult(data, after)

    def _read_fixed(self, position: Position, blocks: int, block_length: int) -> _ReadResult:
        data: list[bytes] = []
        for done in range(blocks):
            found = self._read_object(position, block_length, blocks - done)
            if isinstance(found, _ReadResult):
                return found._replace(data=b"".join(data))
            block, actual, position = found
            if actual != block_length:
                sense = _incorrect_length(blocks - done)
                return _ReadResult(b"".join(data), position, sense)
            data.append(block)
        return _ReadResult(b"".join(data), position)

    def _read_object(
        self, position: Position, most: int, residual: int | None = None
    ) -> _ReadResult | tuple[bytes, int, Position]:
        """A record's data, its length and its end, or how the command ends since there is none.
        `residual`: what is left to be transferred, in the unit of the CDB."""
        residual = most if residual is None else residual
        try:
            found = self.object_after(position)
            if found is None:
                return _ReadResult(b"", position, at_end_of_data(residual))
            if found.length is None:
                return _ReadResult(b"", found.end, at_filemark(residual))
            if found.is_bad:
                return _ReadResult(b"", found.end, self.read_failure(residual).sense)
            image = self.image_at(position)
            return image.read(found, most), found.length, found.end
        except OSError:
            return _ReadResult(b"", position, self.read_failure(residual).sense)
        except CheckCondition as error:
            return _ReadResult(b"", position, error.sense._replace(information=residual))

    # ---- WRITE -------------------------------------------------------------------------------

    @operation(0x0A, "WRITE(6)", "0a 01 ff ff ff 00", needs=Needs.WRITABLE)
    def write_6(self, command: Command) -> Answer:
        records = self._records_of(command)
        if not records:
            return Answer(unused=len(command.data_out))
        unit = len(records[0]) if not command.cdb[1] & _FIXED else 1
        left = self.left
        fitting = _fitting(records, left)
        if fitting:
            self._append(records[:fitting], residual=len(records) * unit)
        if fitting < len(records):
            raise _overflow((len(records) - fitting) * unit)
        self._warn(left)
        return Answer(unused=len(command.data_out) - sum(map(len, records)))

    def _records_of(self, command: Command) -> list[memoryview]:
        length = command.number(2, 3)
        blocks, size = 1, length
        if command.cdb[1] & _FIXED:
            self._check_fixed(length, self.block_length)
            blocks, size = length, self.block_length
        if len(command.data_out) < blocks * size:
            raise invalid_field(2)
        data = memoryview(command.data_out)
        return [data[place : place + size] for place in range(0, blocks * size, size or 1)]

    def _check_fixed(self, blocks: int, block_length: int) -> None:
        if not block_length:
            raise invalid_field(1, 0)
        if blocks * block_length > LARGEST_TRANSFER:
            raise invalid_field(2)

    def _append(self, records: list[memoryview], residual: int) -> None:
        try:
            self.end_tape_here()
            self.position = self.tape.append(self.position, records)
        except OSError as error:
            raise self._not_written(error, residual) from error
        self.bytes_written += sum(map(len, records))

    def _not_written(self, error: OSError, residual: int) -> CheckCondition:
        """A full file system is a full tape."""
        return _overflow(residual) if error.errno in _FULL else self._write_failure(residual)

    def _write_failure(
        self, information: int | None = None, code: tuple[int, int] = WRITE_ERROR
    ) -> CheckCondition:
        self.alerts.add(WRITE_FAILURE)
        return CheckCondition(Sense(SenseKey.MEDIUM_ERROR, *code, information=information))

    def _warn(self, left_before: int) -> None:
        """CheckCondition: all was written, and the tape ends soon."""
        left = self.left
        if left <= self.programmable_warning < left_before:
            code = PROGRAMMABLE_WARNING
        elif left <= self.early_warning:
            code = END_OF_MEDIUM
        else:
            return
        raise CheckCondition(Sense(SenseKey.NO_SENSE, *code, information=0, end_of_medium=True))

    # ---- marks -------------------------------------------------------------------------------

    @operation(0x10, "WRITE FILEMARKS(6)", "10 01 ff ff ff 00", needs=Needs.READY)
    def write_filemarks(self, command: Command) -> None:
        """Unless the initiator does not wait for it, what was written is on the file's medium
        afterwards. No filemarks: that alone."""
        count, left = command.number(2, 3), self.left
        if count:
            self._write_filemarks(count)
        if not command.cdb[1] & 0x01:  # IMMED
            self.flush()
        if count:
            self._warn(left)

    def _write_filemarks(self, count: int) -> None:
        if protection := self.write_protection():
            raise CheckCondition(protection)
        fitting = min(count, self.left // FILEMARK_SPACE)
        try:
            self.end_tape_here()
            self.position = self.tape.append_filemarks(self.position, fitting)
        except OSError as error:
            raise self._not_written(error, count) from error
        if fitting < count:
            raise _overflow(count - fitting)

    def flush(self) -> None:
        """CheckCondition: it cannot be known whether all is on the medium."""
        assert self.volume
        try:
            self.volume.flush()
        except OSError as error:
            raise self._write_failure() from error

    @operation(0x19, "ERASE(6)", "19 03 00 00 00 00", needs=Needs.WRITABLE)
    def erase(self, command: Command) -> None:
        """Short or long: the tape ends here. The file gets shorter, so there is nothing to be
        overwritten and nothing to wait for."""
        try:
            self.end_tape_here()
        except OSError as error:
            raise self._write_failure(code=ERASE_FAILURE) from error

    @operation(0x05, "READ BLOCK LIMITS", "05 00 00 00 00 00", access=Access.NONE)
    def read_block_limits(self, command: Command) -> bytes:
        return struct.pack(">IH", LARGEST_RECORD, 1)


def _fitting(records: list[memoryview], left: int) -> int:
    """How many of them so many bytes of the tape have room for."""
    for count, record in enumerate(records):
        left -= record_space(len(record))
        if left < 0:
            return count
    return len(records)


def _incorrect_length(residual: int) -> Sense:
    return Sense(SenseKey.NO_SENSE, 0, 0, information=residual, incorrect_length=True)


def _overflow(residual: int) -> CheckCondition:
    return CheckCondition(
        Sense(SenseKey.VOLUME_OVERFLOW, *END_OF_MEDIUM, information=residual, end_of_medium=True)
    )
