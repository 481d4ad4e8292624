"""The guest ABIs a ring's other half may be built for, and the layout of every shared struct."""

from enum import IntEnum
from functools import cache
from typing import NamedTuple, Self

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import PeerError, UsageError

SECTOR: int = lib.PV_SECTOR_SIZE  # bytes; the unit of every sector number


class Abi(IntEnum):
    """A guest ABI; its number is C's `enum pv_abi`."""

    X86_64 = lib.PV_ABI_X86_64
    X86_32 = lib.PV_ABI_X86_32
    IA64 = lib.PV_ABI_IA64

    @property
    def protocol(self) -> str:
        """What a frontend writes into its `protocol` key (io/protocols.h; ia64-abi until 2012)."""
        return str(ffi.string(lib.pv_abi_protocol(self)).decode())

    @property
    def page_size(self) -> int:
        """Bytes of a page, hence of a ring page and of a grant."""
        return int(lib.pv_abi_page_size(self))

    @property
    def sectors_per_page(self) -> int:
        """512-byte sectors of a page: a block segment's last_sect is below it."""
        return self.page_size // SECTOR

    @classmethod
    def from_protocol(cls, protocol: str) -> Self:
        """The ABI a frontend named.

        Raises PeerError for an unknown name, as Linux's blkback refuses to connect then.
        """
        for abi in cls:
            if abi.protocol == protocol:
                return abi
        raise PeerError(f"unknown protocol {protocol!r}")


class Layout(NamedTuple):
    """A struct's size, and (offset, bytes) of each field by its path. Padding is left out."""

    size: int
    fields: dict[str, tuple[int, int]]


def layout(struct: str, abi: Abi) -> Layout:
    """The layout of a struct, by Xen's own name for it. Raises UsageError when there is none."""
    try:
        return layouts(abi)[struct]
    except KeyError:
        raise UsageError(f"no struct {struct!r} in {abi.protocol}") from None


@cache
def layouts(abi: Abi) -> dict[str, Layout]:
    """All layouts of an ABI by the struct's name."""
    count = ffi.new("unsigned *")
    table = lib.pv_abi_fields(count)
    found: dict[str, Layout] = {}
    for entry in table[0 : count[0]]:
        if not entry.abis & 1 << abi:
            continue
        name, field = ffi.string(entry.type).decode(), ffi.string(entry.field).decode()
        if field:
            found[name].fields[field] = (entry.offset, entry.bytes)
        else:
            found[name] = Layout(entry.bytes, {})
    return found
