"""Which strings are paths (xenstore.txt), and how relative ones become absolute."""

import re
from functools import lru_cache

from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.wire import ABS_PATH_MAX, REL_PATH_MAX

RECENT = 1024  # paths whose parts are kept: each comes several times within a request or two

_NODE = re.compile(rb"/|(?:/[A-Za-z0-9_@-]+)+")
_HOME = re.compile(r"/local/domain/[0-9]{1,5}/")


def home(domid: int) -> str:
    """The base of a domain's relative paths."""
    return f"/local/domain/{domid}"


@lru_cache(RECENT)
def absolute(path: bytes, domid: int) -> str:
    """The absolute form of a node's path. XenstoreError EINVAL when it names no possible node."""
    if path.startswith(b"@"):
        raise XenstoreError("EINVAL", "a special name is no node")
    relative = not path.startswith(b"/")
    if len(path) > (REL_PATH_MAX if relative else ABS_PATH_MAX):
        raise XenstoreError("EINVAL", "path too long")
    full = home(domid).encode() + b"/" + path if relative else path
    if len(full) > ABS_PATH_MAX or not _NODE.fullmatch(full):
        raise XenstoreError("EINVAL", f"path {full[:80]!r}")
    return full.decode("ascii")


def counted_length(path: str) -> int:
    """The length the path quota is about: without the /local/domain/N/ in front."""
    prefix = _HOME.match(path)
    return len(path) - (prefix.end() if prefix else 0)


@lru_cache(RECENT)
def names(path: str) -> tuple[str, ...]:
    """The node names from the root down; none for the root itself."""
    return tuple(path[1:].split("/")) if path != "/" else ()


def child(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"


def parent(path: str) -> str:
    """The parent's path; the root is its own."""
    return path.rpartition("/")[0] or "/"


@lru_cache(RECENT)
def ancestors(path: str) -> tuple[str, ...]:
    """The path itself, its parent and so on up to the root."""
    found = [path]
    while found[-1] != "/":
        found.append(parent(found[-1]))
    return tuple(found)
