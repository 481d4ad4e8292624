"""What a changer has: elements with addresses, and cartridges in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from pvdrivers.ring.errors import UsageError

LONGEST_BARCODE = 32  # characters of a volume identifier
SUFFIX = ".tap"


class Kind(IntEnum):
    """Element type codes (SMC-3 table 31)."""

    TRANSPORT = 1
    STORAGE = 2
    IMPORT_EXPORT = 3
    DRIVE = 4


# The first address of each kind. That of storage is the last, since it may have the most.
FIRST = {Kind.TRANSPORT: 1, Kind.IMPORT_EXPORT: 0x10, Kind.DRIVE: 0x100, Kind.STORAGE: 0x400}
MOST = {Kind.IMPORT_EXPORT: 0xF0, Kind.DRIVE: 0x300, Kind.STORAGE: 0xFC00}


class Element(NamedTuple):
    address: int
    kind: Kind


class Move(NamedTuple):
    source: int
    destination: int


@dataclass(slots=True)
class Cartridge:
    """`name`: of the file, whose stem is the barcode. `source`: the storage element that it came
    from. `is_new`: an operator has put it into an import/export element."""

    name: str
    source: int | None = None
    is_new: bool = False

    @property
    def barcode(self) -> str:
        return self.name.removesuffix(SUFFIX)


class Inventory:
    """`cartridges`: by the address of the element that has it."""

    def __init__(self, folder: Path, slots: int, ports: int, drives: int) -> None:
        """UsageError: a number is out of range."""
        self.folder = folder
        self.numbers = {
            Kind.TRANSPORT: 1,
            Kind.IMPORT_EXPORT: ports,
            Kind.DRIVE: drives,
            Kind.STORAGE: slots,
        }
        for kind, most in MOST.items():
            least = 0 if kind is Kind.IMPORT_EXPORT else 1
            if not least <= self.numbers[kind] <= most:
                name = kind.name.lower().replace("_", "/")
                raise UsageError(f"a changer has {least} to {most} {name} elements")
        self.cartridges: dict[int, Cartridge] = {}

    @property
    def elements(self) -> list[Element]:
        """In the order of their addresses."""
        return [Element(address, kind) for kind in FIRST for address in self.addresses(kind)]

    def addresses(self, kind: Kind) -> range:
        return range(FIRST[kind], FIRST[kind] + self.numbers[kind])

    def kind_of(self, address: int) -> Kind | None:
        """None: there is no such element."""
        return next((kind for kind in FIRST if address in self.addresses(kind)), None)

    def path_of(self, cartridge: Cartridge) -> Path:
        return self.folder / cartridge.name

    def free(self, *kinds: Kind) -> Iterator[int]:
        for kind in kinds:
            yield from (one for one in self.addresses(kind) if one not in self.cartridges)

    def move(self, moves: Iterable[Move]) -> None:
        """All at the same time."""
        taken = [(self.cartridges.pop(move.source), move) for move in moves]
        for cartridge, move in taken:
            if self.kind_of(move.source) is Kind.STORAGE:
                cartridge.source = move.source
            cartridge.is_new = False
            self.cartridges[move.destination] = cartridge

    def put(self, names: list[str], *kinds: Kind) -> list[int]:
        """New cartridges into free elements, in order; returns which. UsageError: there is no room
        for all of them, or a name is no barcode."""
        for name in names:
            self._check_barcode(name)
        places = list(self.free(*kinds))
        if len(names) > len(places):
            raise UsageError(
                f"{self.folder} has {len(names)} more tapes, and the changer room for"
                f" {len(places)}: give it more slots, or move tapes out of the folder"
            )
        used = places[: len(names)]
        for address, name in zip(used, names, strict=True):
            self.cartridges[address] = Cartridge(name)
        return used

    def _check_barcode(self, name: str) -> None:
        barcode = name.removesuffix(SUFFIX)
        if len(barcode) > LONGEST_BARCODE or not (barcode.isascii() and barcode.isprintable()):
            raise UsageError(
                f"{self.folder}: {name!r} is no barcode with {SUFFIX}, of up to {LONGEST_BARCODE}"
                " printable ASCII characters"
            )


def tapes_in(folder: Path) -> list[str]:
    """File names, in order. UsageError: there is no folder."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.suffix == SUFFIX)
    except OSError as error:
        raise UsageError(f"folder of tapes {folder}: {error.strerror}") from error
