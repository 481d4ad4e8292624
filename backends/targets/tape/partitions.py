"""The medium partition page and FORMAT MEDIUM (SSC-4 8.3.4, 7.1).

Partitions are made as an LTO drive makes them: MODE SELECT says what there is to be, and FORMAT
MEDIUM does it (POFM).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pvdrivers.backends.targets.command import (
    CheckCondition,
    Command,
    illegal_request,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.operations import Needs, operation
from pvdrivers.backends.targets.spc.mode import ModePage, PageKey
from pvdrivers.backends.targets.tape.image import Position
from pvdrivers.backends.targets.tape.tape_unit import TapeUnit
from pvdrivers.backends.targets.tape.volume import MOST_PARTITIONS, SMALLEST_PARTITION
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.sense import Sense, SenseKey

POSITION_PAST_BEGINNING = (0x3B, 0x0C)
FORMAT_FAILED = Sense(SenseKey.MEDIUM_ERROR, 0x31, 0x01)

PARTITIONS_PAGE = (0x11, 0x00)
_PAGE = struct.Struct(">BBBBBxHH")  # most, additional, flags, recognition, power of ten, sizes
_FIXED, _SELECTED, _BY_INITIATOR = 0x80, 0x40, 0x20  # FDP, SDP, IDP: who says the sizes
_PSUM, _ON_FORMAT = 0x18, 0x04
_RECOGNIZED = 0x03  # format and partitions
_REST = 0xFFFF  # what the other partition leaves
_UNITS = {0x00: 0, 0x08: 3, 0x10: 6}  # PSUM: powers of ten
_SHARE = 16  # of the tape, that the second partition gets if the drive chooses

_DEFAULT, _PARTITION, _DEFAULT_THEN_PARTITION = 0, 1, 2  # FORMAT


class Partitions(TapeUnit):
    def mode_pages(self) -> Iterable[ModePage]:
        changeable = _PAGE.pack(0, 1, 0xF8, 0, 0x0F, _REST, _REST)
        return (
            *super().mode_pages(),
            ModePage(PARTITIONS_PAGE[0], self._page_of([self.capacity]), changeable),
        )

    def initial_mode_page(self, key: PageKey) -> bytes:
        if key != PARTITIONS_PAGE:
            return super().initial_mode_page(key)
        return self._page_of(self.volume.sizes if self.volume and self.loaded else [self.capacity])

    def _page_of(self, sizes: list[int]) -> bytes:
        power = next(power for power in range(16) if max(sizes) // 10**power < _REST)
        flags = _PSUM | _ON_FORMAT | (_BY_INITIATOR if len(sizes) > 1 else 0)
        first, second, *_ = *(size // 10**power for size in sizes), 0
        return _PAGE.pack(
            MOST_PARTITIONS - 1, len(sizes) - 1, flags, _RECOGNIZED, power, first, second
        )

    def check_mode_page(self, key: PageKey, value: bytes, place: int) -> None:
        super().check_mode_page(key, value, place)
        if key == PARTITIONS_PAGE:
            self._sizes_in(value, place)

    def _sizes_in(self, page: bytes, place: int = 0) -> list[int]:
        """What FORMAT MEDIUM is to make. CheckCondition: it cannot."""
        _, additional, flags, _, power, *numbers = _PAGE.unpack(page)
        who = flags & (_FIXED | _SELECTED | _BY_INITIATOR)
        if who.bit_count() > 1:
            raise invalid_parameter(place + 2, 7)
        if who == _FIXED or (who == _SELECTED and additional):
            share = self.capacity // _SHARE
            sizes = [self.capacity - share, share]
        elif who == _BY_INITIATOR and additional:
            unit = 10 ** _UNITS.get(flags & _PSUM, power)
            sizes = self._sizes(numbers, unit)
        else:
            return [self.capacity]
        if min(sizes) < SMALLEST_PARTITION or sum(sizes) > self.capacity:
            raise invalid_parameter(place + 6)
        return sizes

    def _sizes(self, numbers: list[int], unit: int) -> list[int]:
        said = sum(number * unit for number in numbers if number != _REST)
        return [self.capacity - said if number == _REST else number * unit for number in numbers]

    @operation(0x04, "FORMAT MEDIUM", "04 01 0f 00 00 00", needs=Needs.WRITABLE)
    def format_medium(self, command: Command) -> None:
        kind = command.cdb[2] & 0x0F
        if kind not in (_DEFAULT, _PARTITION, _DEFAULT_THEN_PARTITION):
            raise invalid_field(2, 3)
        if self.position.number or self.position.partition:
            raise illegal_request(POSITION_PAST_BEGINNING)
        sizes = [self.capacity]
        if kind != _DEFAULT:
            sizes = self._sizes_in(self.mode_page(*PARTITIONS_PAGE))
        assert self.volume
        try:
            self.position = Position()  # there may be gaps before the first object
            self.commit()
            self.volume.format(sizes)
        except (OSError, UsageError) as error:
            raise CheckCondition(FORMAT_FAILED) from error
        self.deselect(PARTITIONS_PAGE)
