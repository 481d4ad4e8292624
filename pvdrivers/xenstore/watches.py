"""Watches, found by the path they watch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pvdrivers.xenstore import paths
from pvdrivers.xenstore.permissions import Permissions

if TYPE_CHECKING:
    from pvdrivers.xenstore.connection import Connection


class Change(NamedTuple):
    """A node was created, changed or removed.

    An `exact` change concerns only watches on that very path: it is a node that went because a
    node above it was removed. A domain that may read by any of `readable_by` is told
    (XSA-115).
    """

    path: str
    exact: bool
    readable_by: tuple[Permissions, ...]


class StoreWatch:
    """One registration; `shown` is the path as the client wrote it."""

    def __init__(
        self, connection: "Connection", shown: str, path: str, token: bytes, depth: int | None
    ) -> None:
        self.connection = connection
        self.shown = shown
        self.path = path
        self.token = token
        self.depth = depth
        self._hidden = len(path) - len(shown)

    @property
    def key(self) -> tuple[str, bytes]:
        return self.path, self.token

    @property
    def size(self) -> int:
        return len(self.path) + len(self.token)

    def fire(self, path: str) -> None:
        """Tells the client of `path`, relative when the watch is."""
        self.connection.send_event(path[self._hidden :].encode(), self.token)


class WatchTable:
    """All watches of a store."""

    def __init__(self) -> None:
        self._by_path: dict[str, dict[StoreWatch, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_path.values()))

    def add(self, watch: StoreWatch) -> None:
        self._by_path.setdefault(watch.path, {})[watch] = None

    def remove(self, watch: StoreWatch) -> None:
        watches = self._by_path[watch.path]
        del watches[watch]
        if not watches:
            del self._by_path[watch.path]

    def at(self, path: str) -> list[StoreWatch]:
        return list(self._by_path.get(path, ()))

    def fire(self, change: Change, may_read: Callable[["Connection", Permissions], bool]) -> None:
        """Fires what watches the changed node or, unless `exact`, a node above it."""
        watched = (change.path,) if change.exact else paths.ancestors(change.path)
        for distance, path in enumerate(watched):
            if path not in self._by_path:
                continue
            for watch in self.at(path):
                if watch.depth is not None and distance > watch.depth:
                    continue
                if any(may_read(watch.connection, given) for given in change.readable_by):
                    watch.fire(change.path)

    def fire_special(self, name: str, domid: int, allowed: Callable[[StoreWatch], bool]) -> None:
        """Fires `name` (@introduceDomain, @releaseDomain); depth 1 asks for the domid as well."""
        of_domain = f"{name}/{domid}"
        for watch in self.at(name) + self.at(of_domain):
            if allowed(watch):
                with_domid = watch.path == of_domain or watch.depth == 1
                watch.fire(of_domain if with_domid else name)
