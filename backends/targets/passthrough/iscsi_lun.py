"""Where a LUN of a SAN is, and how one logs in to it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.lun import MAX_FLAT

PORT = 3260
MAX_NAME = 223  # of an initiator or target, bytes (RFC 7143 4.2.7.1)
FORM = "iscsi://HOST[:PORT]/TARGET/LUN"


@dataclass(frozen=True, slots=True)
class IscsiLun:
    """`user` and `secret`: of CHAP, by which the target knows its initiators; empty: it asks for
    none."""

    host: str
    port: int
    target: str
    lun: int
    user: str = ""
    secret: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, user: str = "", secret: str = "") -> Self:
        """UsageError: it is no URL of a LUN."""
        wrong = UsageError(
            f"{url!r} is not {FORM}, such as iscsi://san/iqn.2004-10.com.example:a/1"
        )
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise wrong from error
        names = parts.path.split("/")
        if parts.scheme != "iscsi" or not host or len(names) != 3 or not all(names[1:]):
            raise wrong
        if parts.username is not None:
            raise UsageError(f"a URL has no user and no secret, which others would see: {FORM}")
        if not (names[2].isascii() and names[2].isdigit()) or parts.query or parts.fragment:
            raise wrong
        if int(names[2]) > MAX_FLAT:
            raise UsageError(f"{url}: LUN {names[2]} is beyond {MAX_FLAT}")
        check_name(unquote(names[1]))
        return cls(host, port or PORT, unquote(names[1]), int(names[2]), user, secret)

    async def addresses(self) -> list[str]:
        """As libiscsi takes them, so that it looks nothing up. OSError: there are none."""
        found = await in_daemon_thread(self._look_up)
        return [_place(*address[:2]) for *_, address in found]

    def _look_up(self) -> list[Any]:
        try:
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{self.host} is no name of a host") from error

    def __str__(self) -> str:
        return f"iscsi://{_place(self.host, self.port)}/{self.target}/{self.lun}"


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_name(name: str) -> None:
    """UsageError: no initiator and no target is called so."""
    if not name.startswith(("iqn.", "eui.", "naa.")) or not name.isprintable() or " " in name:
        raise UsageError(f"{name!r} is no iSCSI name: those begin with iqn., eui. or naa.")
    if len(name.encode()) > MAX_NAME:
        raise UsageError(f"{name!r} has more than the {MAX_NAME} bytes of an iSCSI name")
