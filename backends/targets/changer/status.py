"""READ ELEMENT STATUS (SMC-3 6.11)."""

from __future__ import annotations

import struct
from itertools import groupby

from pvdrivers.backends.targets.changer.changer_unit import INVALID_ELEMENT_ADDRESS, ChangerUnit
from pvdrivers.backends.targets.changer.inventory import Cartridge, Element, Kind
from pvdrivers.backends.targets.command import Command, illegal_request, invalid_field
from pvdrivers.backends.targets.operations import Access, operation

_VOLUME_TAGS, _DRIVE_IDENTIFIERS = 0x10, 0x01
_FULL, _BY_OPERATOR, _ACCESS, _EXPORTS, _IMPORTS = 0x01, 0x02, 0x08, 0x10, 0x20
_SOURCE_VALID = 0x80


class ElementStatus(ChangerUnit):
    @operation(
        0xB8,
        "READ ELEMENT STATUS",
        "b8 1f ff ff ff ff 03 ff ff ff 00 00",
        access=Access.READ,
    )
    def read_element_status(self, command: Command) -> bytes:
        """In the order of addresses, a page for each kind. Nothing has to move for it."""
        kind = command.cdb[1] & 0x0F
        if kind > max(Kind):
            raise invalid_field(1, 3)
        first, most = command.number(2, 2), command.number(4, 2)
        found = [
            element
            for element in self.inventory.elements
            if element.address >= first and kind in (0, element.kind)
        ][:most]
        if not found and most:
            raise illegal_request(INVALID_ELEMENT_ADDRESS)
        tagged, identified = command.cdb[1] & _VOLUME_TAGS, command.cdb[6] & _DRIVE_IDENTIFIERS
        pages = b"".join(
            self._page(kind, list(group), bool(tagged), bool(identified))
            for kind, group in groupby(found, key=lambda element: element.kind)
        )
        lowest = found[0].address if found else 0
        head = struct.pack(">HHI", lowest, len(found), len(pages))
        return (head + pages)[: command.number(7, 3)]

    def _page(self, kind: Kind, elements: list[Element], tagged: bool, identified: bool) -> bytes:
        descriptors = [self._descriptor(element, tagged, identified) for element in elements]
        data = b"".join(descriptors)
        return (
            struct.pack(">BBHI", kind, 0x80 if tagged else 0, len(descriptors[0]), len(data)) + data
        )

    def _descriptor(self, element: Element, tagged: bool, identified: bool) -> bytes:
        cartridge = self.inventory.cartridges.get(element.address)
        source = cartridge.source if cartridge else None
        data = struct.pack(
            ">HB6xBH",
            element.address,
            self._flags(element, cartridge),
            0 if source is None else _SOURCE_VALID,
            source or 0,
        )
        if tagged:
            barcode = cartridge.barcode.encode().ljust(32) if cartridge else bytes(32)
            data += barcode + bytes(4)
        drive = self.drive_at(element.address)
        if drive and identified:
            return data + drive.identity.designator
        return data + bytes(4)

    def _flags(self, element: Element, cartridge: Cartridge | None) -> int:
        flags = _FULL if cartridge else 0
        drive = self.drive_at(element.address)
        if element.kind is not Kind.TRANSPORT and not (drive and drive.removal_is_prevented):
            flags |= _ACCESS
        if element.kind is Kind.IMPORT_EXPORT:
            flags |= _EXPORTS | _IMPORTS
            flags |= _BY_OPERATOR if cartridge and cartridge.is_new else 0
        return flags
