"""Who a logical unit is, as its initiators tell it from others."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from pvdrivers.ring.errors import UsageError

BINARY, NAA_OF_UNIT = 1, 0x03  # code set; association and designator type

_LOCALLY_ASSIGNED = 0x3 << 60  # NAA 3h: 60 bits that need no registration (SPC-4 7.8.6.6)
_LENGTHS = {"vendor": 8, "product": 16, "revision": 4, "serial": 64}


@dataclass(frozen=True, slots=True)
class Identity:
    """`naa`: 64 bits that no other logical unit of the site has; multipathing goes by it.

    UsageError: a text is not printable ASCII, or is too long (vendor 8, product 16, revision 4,
    serial 64 characters).
    """

    serial: str
    naa: int
    vendor: str = "PVDRIVER"
    product: str = "LOGICAL UNIT"
    revision: str = "0001"

    def __post_init__(self) -> None:
        for name, longest in _LENGTHS.items():
            text = getattr(self, name)
            if not (text.isascii() and text.isprintable() and 0 < len(text) <= longest):
                raise UsageError(
                    f"{name} {text[:80]!r} is not 1 to {longest} printable ASCII characters"
                )

    @classmethod
    def of(cls, name: str, *, product: str = "LOGICAL UNIT", **texts: str) -> Self:
        """The same for the same name at all times; any other has another serial number and NAA."""
        number = int.from_bytes(sha256(name.encode()).digest()[:8], "big") >> 4
        texts.setdefault("serial", f"{number:015X}")
        return cls(naa=_LOCALLY_ASSIGNED | number, product=product, **texts)

    @property
    def designator(self) -> bytes:
        """The NAA as designation descriptors have it, 12 bytes (SPC-4 7.8.6)."""
        return struct.pack(">BBxBQ", BINARY, NAA_OF_UNIT, 8, self.naa)

    def padded(self, name: str) -> bytes:
        """A text as INQUIRY has it: left-aligned, spaces behind."""
        return str(getattr(self, name)).encode().ljust(_LENGTHS[name])
