"""The two kinds of xenstore failure: a refused request, and a peer that broke the protocol."""

import errno

# io/xs_wire.h: errors travel by name, and only these names are known to every client.
WIRE_ERRORS = [
    "EINVAL",
    "EACCES",
    "EEXIST",
    "EISDIR",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "EIO",
    "ENOTEMPTY",
    "ENOSYS",
    "EROFS",
    "EBUSY",
    "EAGAIN",
    "EISCONN",
    "E2BIG",
    "EPERM",
]


class XenstoreError(OSError):
    """A request was refused; `errno` holds the number and `name` the wire name of the reason."""

    def __init__(self, name: str, about: str = "") -> None:
        # Untranslatable names become EINVAL, as in the C server and library.
        self.name = name if name in WIRE_ERRORS else "EINVAL"
        super().__init__(getattr(errno, self.name), f"{self.name} {about}".rstrip())


class ProtocolError(Exception):
    """The peer sent what no correct peer sends; its connection cannot go on."""
