"""REWIND, SPACE, LOCATE and READ POSITION (SSC-4 7)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from pvdrivers.backends.targets.command import CheckCondition, Command, invalid_field
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.tape.image import Position, TapeObject
from pvdrivers.backends.targets.tape.tape_unit import (
    BEGINNING_OF_MEDIUM,
    TapeUnit,
    at_end_of_data,
    at_filemark,
)
from pvdrivers.scsi.sense import Sense, SenseKey

_BLOCKS, _FILEMARKS, _END_OF_DATA = 0, 1, 3  # what SPACE counts
_OBJECT, _FILE, _END = 0, 1, 3  # DEST_TYPE of LOCATE(16)
_CHANGE_PARTITION = 0x02
_BEGINNING, _EARLY_WARNING, _POSITION_ERROR, _PROGRAMMABLE_WARNING = 0x80, 0x40, 0x02, 0x01
_LARGEST = 0xFFFFFFFF  # object in the short form


class Positioning(TapeUnit):
    @operation(0x01, "REWIND", "01 01 00 00 00 00", needs=Needs.READY)
    def rewind(self, command: Command) -> None:
        self.position = self.beginning

    # ---- SPACE -------------------------------------------------------------------------------

    @operation(0x11, "SPACE(6)", "11 0f ff ff ff 00", needs=Needs.READY)
    def space_6(self, command: Command) -> None:
        self._space(command.cdb[1] & 0x0F, _signed(command, 2, 3))

    @operation(
        0x91, "SPACE(16)", "91 0f 00 00 ff ff ff ff ff ff ff ff 00 00 00 00", needs=Needs.READY
    )
    def space_16(self, command: Command) -> None:
        self._space(command.cdb[1] & 0x0F, _signed(command, 4, 8))

    def _space(self, code: int, count: int) -> None:
        if code == _END_OF_DATA:
            self._go_to_end()
        elif code in (_BLOCKS, _FILEMARKS):
            self._space_objects(abs(count), filemarks=code == _FILEMARKS, back=count < 0)
        else:
            raise invalid_field(1, 3)

    def _space_objects(self, left: int, *, filemarks: bool, back: bool) -> None:
        """The position is behind what was passed last, as seen from where the tape came from."""
        find: Callable[[Position], TapeObject | None] = (
            self.object_before if back else self.object_after
        )
        while left:
            found = find(self.position)
            if found is None:
                raise CheckCondition(_at_beginning(left) if back else at_end_of_data(left))
            self.position = found.start if back else found.end
            if found.is_filemark and not filemarks:
                raise CheckCondition(at_filemark(left))
            left -= found.is_filemark or not filemarks

    def _go_to_end(self) -> None:
        while found := self.object_after(self.position):
            self.position = found.end

    # ---- LOCATE ------------------------------------------------------------------------------

    @operation(0x2B, "LOCATE(10)", "2b 07 00 ff ff ff ff 00 ff 00", needs=Needs.READY)
    def locate_10(self, command: Command) -> None:
        """BT too counts objects from 0."""
        self._go_to_partition(command, 8)
        self._locate(command.number(3, 4), lambda position: position.number)

    @operation(
        0x92, "LOCATE(16)", "92 3b 01 ff ff ff ff ff ff ff ff ff 00 00 00 00", needs=Needs.READY
    )
    def locate_16(self, command: Command) -> None:
        kind, wanted = command.cdb[1] >> 3 & 0x07, command.number(4, 8)
        if kind not in (_OBJECT, _FILE, _END):
            raise invalid_field(1, 5)
        self._go_to_partition(command, 3)
        if kind == _END:
            self._go_to_end()
        elif kind == _OBJECT:
            self._locate(wanted, lambda position: position.number)
        else:
            self._locate(wanted, lambda position: position.file)

    def _go_to_partition(self, command: Command, place: int) -> None:
        partition = command.cdb[place]
        if not command.cdb[1] & _CHANGE_PARTITION or partition == self.position.partition:
            return
        if partition >= self.partitions:
            raise invalid_field(place)
        self.position = Position(partition=partition)

    def _locate(self, wanted: int, number: Callable[[Position], int]) -> None:
        """To the first place with that number, from where the tape is or from its beginning."""
        if wanted <= number(self.position) - wanted:
            self.position = self.beginning
        while number(self.position) >= wanted and (found := self.object_before(self.position)):
            self.position = found.start
        while number(self.position) < wanted:
            found = self.object_after(self.position)
            if found is None:
                raise CheckCondition(at_end_of_data(None))
            self.position = found.end

    # ---- READ POSITION -----------------------------------------------------------------------

    @operation(
        0x34,
        "READ POSITION SHORT",
        "34 00 00 00 00 00 00 00 00 00",
        service_action=0x00,
        access=Access.READ,
        needs=Needs.READY,
    )
    def read_position_short(self, command: Command) -> bytes:
        return self._short_form()

    @operation(
        0x34,
        "READ POSITION VENDOR-SPECIFIC",
        "34 01 00 00 00 00 00 00 00 00",
        service_action=0x01,
        access=Access.READ,
        needs=Needs.READY,
    )
    def read_position_vendor_specific(self, command: Command) -> bytes:
        """It counts objects from 0 too. Linux' st asks so unless it is told otherwise."""
        return self._short_form()

    @operation(
        0x34,
        "READ POSITION LONG",
        "34 06 00 00 00 00 00 00 00 00",
        service_action=0x06,
        access=Access.READ,
        needs=Needs.READY,
    )
    def read_position_long(self, command: Command) -> bytes:
        _, number, file, partition = self.position
        return struct.pack(">BxxxIQQ8x", self._flags(), partition, number, file)

    @operation(
        0x34,
        "READ POSITION EXTENDED",
        "34 08 00 00 00 00 00 ff ff 00",
        service_action=0x08,
        access=Access.READ,
        needs=Needs.READY,
    )
    def read_position_extended(self, command: Command) -> bytes:
        number, partition = self.position.number, self.position.partition
        data = struct.pack(">BBHxxxxQQ8x", self._flags(), partition, 0x1C, number, number)
        return data[: command.number(7, 2)]

    def _short_form(self) -> bytes:
        number, partition = self.position.number, self.position.partition
        if number > _LARGEST:
            return struct.pack(">BB18x", self._flags() | _POSITION_ERROR, partition)
        return struct.pack(">BBxxII8x", self._flags(), partition, number, number)

    def _flags(self) -> int:
        flags = 0 if self.position.number else _BEGINNING
        if self.left <= self.early_warning:
            flags |= _EARLY_WARNING
        if self.left <= self.programmable_warning:
            flags |= _PROGRAMMABLE_WARNING
        return flags


def _signed(command: Command, place: int, size: int) -> int:
    return int.from_bytes(command.cdb[place : place + size], "big", signed=True)


def _at_beginning(left: int) -> Sense:
    return Sense(SenseKey.NO_SENSE, *BEGINNING_OF_MEDIUM, information=left, end_of_medium=True)
