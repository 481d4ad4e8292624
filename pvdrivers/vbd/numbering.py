"""Virtual device numbers of disks and their names (xen-vbd-interface(7)).

A name is `xvd`, `sd` or `hd`, letters for the disk (a..z, aa, ..) and a partition number, or
`dNpM`, which means the same as the xvd name of disk N, partition M.
"""

import re
from typing import NamedTuple

EXTENDED = 1 << 28  # from here on: disks and partitions that the older numbers have no room for
_XVD, _SD, _IDE0, _IDE1 = 202 << 8, 8 << 8, 3 << 8, 22 << 8
_LETTERS = re.compile(r"(xvd|sd|hd)([a-z]{1,5})([1-9]\d{0,2})?", re.ASCII)
_NUMBERED = re.compile(r"d(\d{1,7})(?:p(\d{1,3}))?", re.ASCII)


class DiskName(NamedTuple):
    """What a number stands for: naming scheme, disk (from 0) and partition (0: the whole disk)."""

    scheme: str
    disk: int
    partition: int

    @property
    def name(self) -> str:
        return (
            self.scheme + _to_letters(self.disk) + (str(self.partition) if self.partition else "")
        )


def _to_letters(disk: int) -> str:
    letters = ""
    disk += 1
    while disk:
        disk, letter = divmod(disk - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _from_letters(letters: str) -> int:
    disk = 0
    for letter in letters:
        disk = disk * 26 + ord(letter) - ord("a") + 1
    return disk - 1


def parse_name(name: str) -> DiskName:
    """What a name like `xvda1` or `d0p1` stands for; ValueError when it is none."""
    if match := _LETTERS.fullmatch(name):
        return DiskName(match[1], _from_letters(match[2]), int(match[3] or 0))
    if match := _NUMBERED.fullmatch(name):
        return DiskName("xvd", int(match[1]), int(match[2] or 0))
    raise ValueError(f"{name!r} is not the name of a virtual disk (xvda, sda1, hdc, d0p1)")


def number_of(name: str) -> int:
    """The virtual device number of a name; ValueError when no number stands for it."""
    scheme, disk, partition = parse_name(name)
    if scheme == "xvd" and disk <= 15 and partition <= 15:
        return _XVD | disk << 4 | partition
    if scheme == "xvd" and disk < 1 << 20 and partition <= 255:
        return EXTENDED | disk << 8 | partition
    if scheme == "sd" and disk <= 15 and partition <= 15:
        return _SD | disk << 4 | partition
    if scheme == "hd" and disk <= 3 and partition <= 63:
        return (_IDE0 if disk < 2 else _IDE1) | (disk & 1) << 6 | partition
    raise ValueError(f"{name!r} is beyond the disks or partitions that have a number")


def disk_of(number: int) -> DiskName:
    """What a virtual device number stands for; ValueError for one a guest must ignore."""
    if EXTENDED <= number < 2 * EXTENDED:
        return DiskName("xvd", number >> 8 & 0xFFFFF, number & 0xFF)
    major, minor = number & ~0xFF, number & 0xFF
    if major == _XVD:
        return DiskName("xvd", minor >> 4, minor & 15)
    if major == _SD:
        return DiskName("sd", minor >> 4, minor & 15)
    if major in (_IDE0, _IDE1) and minor < 128:
        return DiskName("hd", (minor >> 6) + (2 if major == _IDE1 else 0), minor & 63)
    raise ValueError(f"{number} is not the number of a virtual disk")


def name_of(number: int) -> str:
    """The name a number has in the guest; ValueError for one a guest must ignore."""
    return disk_of(number).name
