"""The settings of a file, each read as what its key takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pvdrivers.toolstack.xl_config.grammar import ListValue, Setting, Value
from pvdrivers.toolstack.xl_config.text import Atom, ConfigError, Place

# As strtol reads it with base 0.
NUMBER = re.compile(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))", re.ASCII)


def number(atom: Atom, what: str, low: int, high: int) -> int:
    """Decimal, hexadecimal after 0x or octal after 0, from `low` to `high`."""
    match = NUMBER.fullmatch(atom.text) if len(atom.text) < 80 else None
    if match:
        sign, hexadecimal, octal, decimal = match.groups()
        value = int(
            decimal or hexadecimal or octal or "0", 10 if decimal else 16 if hexadecimal else 8
        )
        value = -value if sign == "-" else value
        if low <= value <= high:
            return value
    raise atom.error(f"{what} is {atom.text[:40]!r}, a number from {low} to {high} can be")


def choice(atom: Atom, what: str, words: Iterable[str]) -> str:
    """One of the words, as it is."""
    if atom.text not in words:
        raise atom.error(f"{what} is {atom.text[:40]!r}, {', '.join(words)} can be")
    return atom.text


class Settings:
    """Each method gives None, or nothing, for a key that is not in the file."""

    def __init__(self, settings: dict[str, Setting], source: str) -> None:
        self.all = settings
        self.end = Place(source, 1, 1)  # where one stands that is missing

    def place(self, key: str) -> Place:
        """Where the key stands that is in the file."""
        return self.all[key].place

    def error(self, key: str, message: str) -> ConfigError:
        """About the value of a key that is in the file."""
        return ConfigError(self.all[key].value.place, message)

    def value(self, key: str) -> Value | None:
        return self.all[key].value if key in self.all else None

    def atom(self, key: str) -> Atom | None:
        """A string, or a number as it is written."""
        value = self.value(key)
        if isinstance(value, ListValue):
            raise self.error(key, f"{key} is a list, one string or number can be")
        return value

    def string(self, key: str) -> str | None:
        atom = self.atom(key)
        return atom.text if atom else None

    def number(self, key: str, low: int, high: int) -> int | None:
        atom = self.atom(key)
        if atom and self.all[key].added:
            raise ConfigError(self.place(key), f"{key} is a number, to which += cannot add")
        return number(atom, key, low, high) if atom else None

    def flag(self, key: str) -> bool | None:
        value = self.number(key, -(1 << 63), (1 << 63) - 1)
        return None if value is None else bool(value)

    def choice(self, key: str, words: Iterable[str]) -> str | None:
        atom = self.atom(key)
        return choice(atom, key, words) if atom else None

    def atoms(self, key: str) -> tuple[Atom, ...]:
        """Of a list."""
        value = self.value(key)
        if isinstance(value, Atom):
            raise self.error(key, f"{key} is one value, a list in [] can be")
        items = value.items if value else ()
        atoms = tuple(item for item in items if isinstance(item, Atom))
        for item in items:
            if isinstance(item, ListValue):
                raise ConfigError(item.place, f"{key} has a list in it, strings can be")
        return atoms
