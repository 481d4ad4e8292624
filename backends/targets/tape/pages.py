"""A tape's mode pages, vital product data and densities (SSC-4 8.3, 8.4, 7.9)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pvdrivers.backends.targets.command import CheckCondition, Command, invalid_parameter
from pvdrivers.backends.targets.operations import Access, Operation, operation
from pvdrivers.backends.targets.spc.inquiry import VpdPages
from pvdrivers.backends.targets.spc.mode import (
    DISCONNECT_PAGE,
    EXCEPTIONS_PAGE,
    HARDWARE_PROTECTED,
    ModePage,
    PageKey,
)
from pvdrivers.backends.targets.spc.removal import MEDIUM_NOT_PRESENT
from pvdrivers.backends.targets.tape.tape_unit import (
    CONFIGURATION_PAGE,
    READ_FAILURE,
    REMOVAL_PREVENTED_ALERT,
    WRITE_FAILURE,
    WRITE_PROTECTED_ALERT,
    TapeUnit,
)
from pvdrivers.scsi.sense import Sense, SenseKey

DENSITY = 0x80  # vendor specific: no tape of any maker
NO_CHANGE, DEFAULT_DENSITY = 0x7F, 0x00

_BUFFERED = 0x10  # in the device-specific parameter
_ERROR_RECOVERY, _COMPRESSION = 0x01, 0x0F
_LOGICAL_IDENTIFIERS, _REPORT_EARLY_WARNING, _ERASES_AT_EARLY_WARNING = 0x40, 0x08, 0x10
_ALERTS_STAY, _SHORT_ERASE_ENDS_DATA = 0x01, 0x02


class Pages(TapeUnit):
    write_protectable = True

    # ---- mode pages --------------------------------------------------------------------------

    def mode_pages(self) -> Iterable[ModePage]:
        early = _REPORT_EARLY_WARNING | _ERASES_AT_EARLY_WARNING
        return (
            *super().mode_pages(),
            ModePage(_ERROR_RECOVERY, bytes(10)),
            DISCONNECT_PAGE,
            ModePage(_COMPRESSION, bytes(14)),  # there is none
            ModePage(
                CONFIGURATION_PAGE, bytes((*bytes(6), _LOGICAL_IDENTIFIERS, 0, early, *bytes(5)))
            ),
            ModePage(
                CONFIGURATION_PAGE,
                bytes((_ALERTS_STAY, _SHORT_ERASE_ENDS_DATA, *bytes(26))),
                bytes((0, 0, 0xFF, 0xFF, *bytes(24))),  # PEWS
                subcode=0x01,
            ),
            EXCEPTIONS_PAGE,  # TapeAlert is polled
        )

    def initial_mode_page(self, key: PageKey) -> bytes:
        page = super().initial_mode_page(key)
        if key == (CONFIGURATION_PAGE, 0):  # ACTIVE PARTITION
            return page[:1] + bytes((self.position.partition,)) + page[2:]
        return page

    def device_specific_parameter(self) -> int:
        return super().device_specific_parameter() | _BUFFERED

    def block_descriptor(self, long: bool) -> bytes:
        return struct.pack(">II", DENSITY << 24, self.block_length)

    def select_block_descriptor(self, descriptor: bytes, place: int) -> None:
        """The block length is what can be chosen."""
        if len(descriptor) != 8:
            raise invalid_parameter(place)
        if descriptor[0] not in (DENSITY, NO_CHANGE, DEFAULT_DENSITY):
            raise invalid_parameter(place)
        if any(descriptor[1:4]):
            raise invalid_parameter(place + 1)
        if descriptor[4]:
            raise invalid_parameter(place + 4)
        self.block_length = int.from_bytes(descriptor[5:8], "big")

    # ---- write protection --------------------------------------------------------------------

    def write_protection(self) -> Sense | None:
        read_only = self.volume and self.volume.read_only
        return HARDWARE_PROTECTED if read_only else super().write_protection()

    def check_access(self, found: Operation, command: Command) -> None:
        try:
            super().check_access(found, command)
        except CheckCondition as error:
            if error.sense.key == SenseKey.DATA_PROTECT:
                self.alerts.add(WRITE_PROTECTED_ALERT)
            raise

    # ---- vital product data ------------------------------------------------------------------

    def vpd_pages(self) -> VpdPages:
        return super().vpd_pages() | {0xB0: lambda: bytes(2), 0xB2: _supported_alerts}

    # ---- densities ---------------------------------------------------------------------------

    @operation(0x44, "REPORT DENSITY SUPPORT", "44 01 00 00 00 00 00 ff ff 00", access=Access.NONE)
    def report_density_support(self, command: Command) -> bytes:
        """One density, the same for the drive and for what is in it."""
        if command.cdb[1] & 0x01 and not self.loaded:
            raise CheckCondition(MEDIUM_NOT_PRESENT)
        descriptor = struct.pack(
            ">BBB2x3xHHI8s8s20s",
            DENSITY,
            DENSITY,
            0xA0,  # WRTOK, DEFLT
            0,
            1,
            min(self.capacity // 1_000_000, 0xFFFFFFFF),
            b"PVDRIVER",
            b"SIMH".ljust(8),
            b"SIMH tape image".ljust(20),
        )
        data = struct.pack(">Hxx", 2 + len(descriptor)) + descriptor
        return data[: command.number(7, 2)]


def _supported_alerts() -> bytes:
    flags = (READ_FAILURE, WRITE_FAILURE, WRITE_PROTECTED_ALERT, REMOVAL_PREVENTED_ALERT)
    return sum(1 << 64 - flag for flag in flags).to_bytes(8, "big")
