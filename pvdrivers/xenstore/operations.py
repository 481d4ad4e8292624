"""What every xenstore client can ask of the tree."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import Permission, parse_entries
from pvdrivers.xenstore.wire import MessageType, strings

Value = bytes | str | int
Ask = tuple[MessageType, bytes]  # a request about the tree: its type and its payload
ABSENT = ("ENOENT", "EACCES")  # there is no such node, or none that this client may see


def text(string: str) -> bytes:
    """One string of a payload. A NUL inside would become a second argument: ValueError."""
    if "\0" in string:
        raise ValueError(f"NUL in {string!r}")
    return string.encode("utf-8", "surrogateescape") + b"\0"


def octets(value: Value) -> bytes:
    """A node's value as it is stored; a number in decimal."""
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


def asks_read(path: str) -> Ask:
    return MessageType.READ, text(path)


def asks_write(path: str, value: Value) -> Ask:
    return MessageType.WRITE, text(path) + octets(value)


def asks_mkdir(path: str) -> Ask:
    return MessageType.MKDIR, text(path)


def asks_remove(path: str) -> Ask:
    return MessageType.RM, text(path)


def asks_set_permissions(path: str, entries: Iterable[Permission | str]) -> Ask:
    listed = b"".join(text(str(entry)) for entry in entries)
    return MessageType.SET_PERMS, text(path) + listed


class Operations(ABC):
    """What can be asked of the tree, directly or inside a transaction.

    Paths are absolute, or relative to /local/domain/<own domid>.
    """

    @abstractmethod
    def _send(self, asked: Sequence[Ask]) -> "list[asyncio.Future[bytes]]":
        """Sends requests about the tree, all in one go; each reply's payload is to come."""

    async def _request(self, kind: MessageType, payload: bytes) -> bytes:
        """One request about the tree and its reply's payload."""
        (reply,) = self._send([(kind, payload)])
        return await reply

    async def request_all(self, asked: Sequence[Ask]) -> list[bytes | XenstoreError]:
        """Requests that do not wait for each other, in one round trip.

        The server carries them out in this order; a refused one holds up none behind it.
        """
        replies = self._send(asked)
        try:
            outcomes: list[bytes | XenstoreError] = []
            for reply in replies:
                try:
                    outcomes.append(await reply)
                except XenstoreError as refusal:
                    outcomes.append(refusal)
            return outcomes
        finally:
            for reply in replies:  # what is left of them when this one was cut short
                if not reply.done():
                    reply.cancel()
                elif not reply.cancelled():
                    reply.exception()

    async def read(self, path: str) -> bytes:
        """The node's value. ENOENT when there is no such node, EACCES when it is not readable."""
        return await self._request(*asks_read(path))

    async def read_str(self, path: str) -> str:
        """The value as text; bytes that are not UTF-8 are surrogate-escaped, never an error."""
        return (await self.read(path)).decode("utf-8", "surrogateescape")

    async def read_present(self, paths: Sequence[str]) -> list[str | None]:
        """The values of many nodes as text, in one round trip; None where there is none to see."""
        found: list[str | None] = []
        for reply in await self.request_all([asks_read(path) for path in paths]):
            if isinstance(reply, bytes):
                found.append(reply.decode("utf-8", "surrogateescape"))
            elif reply.name in ABSENT:
                found.append(None)
            else:
                raise reply
        return found

    async def read_optional(self, path: str) -> str | None:
        """The value as text; None when there is no such node or it may not be read."""
        (value,) = await self.read_present([path])
        return value

    async def read_keys(self, directory: str, names: Iterable[str]) -> dict[str, str]:
        """Those of the named keys that are there."""
        wanted = list(names)
        values = await self.read_present([f"{directory}/{name}" for name in wanted])
        found = zip(wanted, values, strict=True)
        return {name: value for name, value in found if value is not None}

    async def exists(self, path: str) -> bool:
        try:
            await self.read(path)
        except XenstoreError as error:
            if error.name == "ENOENT":
                return False
            raise
        return True

    async def write(self, path: str, value: Value) -> None:
        """Sets the value; creates the node and missing parents."""
        await self._request(*asks_write(path, value))

    async def mkdir(self, path: str) -> None:
        """Creates an empty node and missing parents; an existing node keeps its value."""
        await self._request(*asks_mkdir(path))

    async def remove(self, path: str) -> None:
        """Removes the node and everything below; ENOENT only when its parent is missing."""
        await self._request(*asks_remove(path))

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
        await self._request(*asks_set_permissions(path, entries))


def raise_first(replies: Iterable[bytes | XenstoreError]) -> None:
    """Raises the first refusal, if there is one."""
    for reply in replies:
        if isinstance(reply, XenstoreError):
            raise reply
