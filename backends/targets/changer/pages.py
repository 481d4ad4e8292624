"""A changer's mode pages (SMC-3 7.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pvdrivers.backends.targets.changer.changer_unit import ChangerUnit
from pvdrivers.backends.targets.changer.inventory import FIRST, Kind
from pvdrivers.backends.targets.spc.mode import EXCEPTIONS_PAGE, ModePage

_ADDRESSES, _GEOMETRY, _CAPABILITIES = 0x1D, 0x1E, 0x1F
_ALL_BUT_TRANSPORT = 0x0E  # drives, import/export and storage elements


class Pages(ChangerUnit):
    def mode_pages(self) -> Iterable[ModePage]:
        order = (Kind.TRANSPORT, Kind.STORAGE, Kind.IMPORT_EXPORT, Kind.DRIVE)
        addresses = [(FIRST[kind], self.inventory.numbers[kind]) for kind in order]
        # From the transport, and from the others; which moves there are, and which exchanges.
        moves = bytes((0, *[_ALL_BUT_TRANSPORT] * 3))
        capabilities = bytes((_ALL_BUT_TRANSPORT, 0)) + moves + bytes(4) + moves + bytes(4)
        return (
            *super().mode_pages(),
            EXCEPTIONS_PAGE,
            ModePage(
                _ADDRESSES, b"".join(struct.pack(">HH", *one) for one in addresses) + bytes(2)
            ),
            ModePage(_GEOMETRY, bytes(2)),  # one transport, which does not turn media around
            ModePage(_CAPABILITIES, capabilities),
        )
