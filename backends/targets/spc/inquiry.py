"""INQUIRY and its vital product data (SPC-4 6.6, 7.8)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from pvdrivers.backends.targets.command import Command, invalid_field
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.operations import Access, operation
from pvdrivers.backends.targets.spc.identity import BINARY, Identity

VpdPages = dict[int, Callable[[], bytes]]

SPC_4 = 0x06  # the version that standard data claims
SAM_5_DESCRIPTOR, SPC_4_DESCRIPTOR = 0x00A0, 0x0460
TARGET_PORT_GROUP = 1  # the only one

_ASCII = 2  # code set
_UNIT, _PORT = 0x00, 0x10  # what a designator is of
_T10_VENDOR, _RELATIVE_PORT, _PORT_GROUP = 1, 4, 5


class Inquiry(EmulatedUnit):
    """`removable`: whether the medium is. `third_party_copy`: whether EXTENDED COPY is there.
    `standards`: version descriptors beyond SAM-5's and SPC-4's."""

    identity: Identity
    removable = False
    third_party_copy = False
    standards: tuple[int, ...] = ()

    @operation(0x12, "INQUIRY", "12 01 ff ff ff 00", access=Access.NONE, despite_attention=True)
    def inquiry(self, command: Command) -> bytes:
        page = command.cdb[2]
        if command.cdb[1] & 0x01:
            data = self._vital_product_data(page)
        elif page:
            raise invalid_field(2)
        else:
            data = self.standard_inquiry()
        return data[: command.number(3, 2)]

    def standard_inquiry(self) -> bytes:
        head = struct.pack(
            ">8B",
            self.device_type,
            0x80 if self.removable else 0,
            SPC_4,
            0x12,  # HISUP, response data format 2
            91,  # bytes that follow
            0x10 | (0x08 if self.third_party_copy else 0),  # TPGS: implicit
            0,
            0x02,  # CMDQUE
        )
        texts = b"".join(map(self.identity.padded, ("vendor", "product", "revision")))
        versions = (SAM_5_DESCRIPTOR, SPC_4_DESCRIPTOR, *self.standards)
        versions_data = b"".join(struct.pack(">H", version) for version in versions)
        return (head + texts).ljust(58, b"\0") + versions_data.ljust(38, b"\0")

    # ---- pages -------------------------------------------------------------------------------

    def vpd_pages(self) -> VpdPages:
        """What makes each page's bytes behind the page length; subclasses add theirs."""
        return {
            0x00: lambda: bytes(sorted(self.vpd_pages())),
            0x80: self.identity.serial.encode,
            0x83: self._device_identification,
            0x86: lambda: bytes(self.extended_inquiry()),
            0x87: lambda: bytes((0x3F, 0xFF, 0, 0)),  # all mode pages are all initiators'
        }

    def _vital_product_data(self, page: int) -> bytes:
        make = self.vpd_pages().get(page)
        if make is None:
            raise invalid_field(2)
        data = make()
        return struct.pack(">BBH", self.device_type, page, len(data)) + data

    def _device_identification(self) -> bytes:
        identity = self.identity
        name = identity.padded("vendor") + identity.padded("product") + identity.serial.encode()
        return (
            identity.designator
            + _designator(_ASCII, _UNIT | _T10_VENDOR, name)
            + _designator(BINARY, _PORT | _RELATIVE_PORT, struct.pack(">HH", 0, 1))
            + _designator(BINARY, _PORT | _PORT_GROUP, struct.pack(">HH", 0, TARGET_PORT_GROUP))
        )

    def extended_inquiry(self) -> bytearray:
        """60 bytes, of which subclasses set more."""
        data = bytearray(60)
        data[1] = 0x01  # SIMPSUP: simple task attributes
        data[3] = 0x01  # LUICLR: a unit attention of a reset is cleared for each unit alone
        return data


def _designator(code_set: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">BBxB", code_set, kind, len(value)) + value
