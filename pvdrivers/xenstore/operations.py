"""What every xenstore client can ask of the tree."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import Permission, parse_entries
from pvdrivers.xenstore.wire import MessageType, strings


def text(string: str) -> bytes:
    """One string of a payload. A NUL inside would become a second argument: ValueError."""
    if "\0" in string:
        raise ValueError(f"NUL in {string!r}")
    return string.encode("utf-8", "surrogateescape") + b"\0"


def octets(value: bytes | str | int) -> bytes:
    """A node's value as it is stored; a number in decimal."""
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


class Operations(ABC):
    """What can be asked of the tree, directly or inside a transaction.

    Paths are absolute, or relative to /local/domain/<own domid>.
    """

    @abstractmethod
    async def _request(self, kind: MessageType, payload: bytes) -> bytes:
        """One request about the tree and its reply's payload."""

    async def read(self, path: str) -> bytes:
        """The node's value. ENOENT when there is no such node, EACCES when it is not readable."""
        return await self._request(MessageType.READ, text(path))

    async def read_str(self, path: str) -> str:
        """The value as text; bytes that are not UTF-8 are surrogate-escaped, never an error."""
        return (await self.read(path)).decode("utf-8", "surrogateescape")

    async def exists(self, path: str) -> bool:
        try:
            await self.read(path)
        except XenstoreError as error:
            if error.name == "ENOENT":
                return False
            raise
        return True

    async def write(self, path: str, value: bytes | str | int) -> None:
        """Sets the value; creates the node and missing parents."""
        await self._request(MessageType.WRITE, text(path) + octets(value))

    async def mkdir(self, path: str) -> None:
        """Creates an empty node and missing parents; an existing node keeps its value."""
        await self._request(MessageType.MKDIR, text(path))

    async def remove(self, path: str) -> None:
        """Removes the node and everything below; ENOENT only when its parent is missing."""
        await self._request(MessageType.RM, text(path))

    async def directory(self, path: str) -> list[str]:
        """Names of the children, however many (DIRECTORY_PART when one reply is too small)."""
        try:
            payload = await self._request(MessageType.DIRECTORY, text(path))
        except XenstoreError as error:
            if error.name != "E2BIG":
                raise
            payload = await self._directory_in_parts(path)
        return [name.decode() for name in strings(payload)]

    async def _directory_in_parts(self, path: str) -> bytes:
        generation, names = b"", b""
        while True:
            request = text(path) + text(str(len(names)))
            reply = await self._request(MessageType.DIRECTORY_PART, request)
            seen, _, part = reply.partition(b"\0")
            if names and seen != generation:  # changed meanwhile: what we have is worthless
                names = b""
                continue
            generation = seen
            names += part
            if not part or names.endswith(b"\0\0"):
                return names.removesuffix(b"\0") if names.endswith(b"\0\0") else names

    async def get_permissions(self, path: str) -> list[Permission]:
        """The node's entries, the owner's first."""
        return list(parse_entries(strings(await self._request(MessageType.GET_PERMS, text(path)))))

    async def set_permissions(self, path: str, entries: Iterable[Permission | str]) -> None:
        """Replaces the entries, given as Permission or written like "n3", "r0"."""
        listed = b"".join(text(str(entry)) for entry in entries)
        await self._request(MessageType.SET_PERMS, text(path) + listed)
