"""Node permissions: a list of (access, domid) entries as xenstore writes them.

The first entry names the owner, who may do everything; its access letter is what every domain not
named later gets. Each further entry is for one domain.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, Self

from pvdrivers.xenstore.errors import XenstoreError

DOMID_ANY = 0x7FF5


class Access(IntEnum):
    """What an entry grants, as bits. OWNER is never written: it follows from being the owner.

    No IntFlag: what its members are combined by takes longer than the rest of a request.
    """

    NONE = 0
    READ = 1
    WRITE = 2
    BOTH = 3
    OWNER = 4
    ALL = 7


_LETTERS = {"n": Access.NONE, "r": Access.READ, "w": Access.WRITE, "b": Access.BOTH}
_LETTER_OF = {access: letter for letter, access in _LETTERS.items()}


class Permission(NamedTuple):
    """One entry, written like `r5` or `n0`."""

    access: Access
    domid: int

    def __str__(self) -> str:
        return f"{_LETTER_OF[self.access]}{self.domid}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its written form. XenstoreError EINVAL when it is none."""
        digits = text[1:]
        if text[:1] not in _LETTERS or not (digits.isascii() and digits.isdigit()):
            raise XenstoreError("EINVAL", f"permission {text!r}")
        domid = int(digits) if len(digits) <= 5 else 1 << 16
        if domid > 0xFFFF:
            raise XenstoreError("EINVAL", f"permission {text!r}")
        return cls(_LETTERS[text[0]], domid)


class Permissions(NamedTuple):
    """A node's entries and when they were given.

    `given_at` is a store generation: an entry for a domain that came to life later is void, so a
    new domain does not inherit what its domid's last holder was allowed (XSA-322, XSA-417).
    """

    entries: tuple[Permission, ...]
    given_at: int = 0

    @property
    def owner(self) -> int:
        return self.entries[0].domid

    @property
    def named(self) -> tuple[Permission, ...]:
        """The entries beside the owner's."""
        return self.entries[1:]

    def payload(self) -> bytes:
        return "".join(f"{entry}\0" for entry in self.entries).encode()


def parse_entries(texts: Iterable[bytes]) -> tuple[Permission, ...]:
    """Entries from a request's strings. XenstoreError EINVAL when there is none or one is bad."""
    entries = tuple(Permission.parse(text.decode("latin-1")) for text in texts)
    if not entries:
        raise XenstoreError("EINVAL", "no permission given")
    return entries
