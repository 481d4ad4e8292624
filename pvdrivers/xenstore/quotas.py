"""What an unprivileged domain may use. 0 switches a limit off; domain 0 has none."""

from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakSet

from pvdrivers.xenstore.errors import XenstoreError


class Quota(NamedTuple):
    default: int
    about: str


# The numbers are the C server's; `write-rate` and `write-burst` are its write rate limit (XSA-206).
QUOTAS: Mapping[str, Quota] = {
    "nodes": Quota(1000, "nodes a domain owns"),
    "watches": Quota(128, "watches of a domain"),
    "transactions": Quota(10, "open transactions of a domain"),
    "outstanding": Quota(20, "replies a connection may leave unread"),
    "transaction-nodes": Quota(1024, "nodes touched in one transaction"),
    "permissions": Quota(5, "permission entries of one node"),
    "path-length": Quota(2048, "bytes of a path, not counting /local/domain/N/"),
    "node-size": Quota(2048, "bytes of one node: value, permissions, names of children"),
    "memory": Quota(2560 * 1024, "bytes held for a domain: refused above"),
    "memory-soft": Quota(2048 * 1024, "bytes held for a domain: logged once above"),
    "write-rate": Quota(200, "changes per second a domain may keep up"),
    "write-burst": Quota(1000, "changes a domain may make before the rate counts"),
}


class Quotas:
    """Limits by name; what is not set here comes from `base`, now and later."""

    def __init__(self, base: "Quotas | None" = None, **values: int) -> None:
        self._limits: dict[str, int] = {name: quota.default for name, quota in QUOTAS.items()}
        self._own: set[str] = set()
        self._derived: WeakSet[Quotas] = WeakSet()
        if base:
            self._limits.update(base._limits)
            base._derived.add(self)
        for name, value in values.items():
            self.set(name.replace("_", "-"), value)

    def get(self, name: str) -> int:
        """XenstoreError EINVAL when there is no such quota."""
        if name not in QUOTAS:
            raise XenstoreError("EINVAL", f"quota {name!r}")
        return self._limits[name]

    def set(self, name: str, value: int) -> None:
        """XenstoreError EINVAL when there is no such quota or the value is negative."""
        if name not in QUOTAS or value < 0:
            raise XenstoreError("EINVAL", f"quota {name!r} = {value}")
        self._own.add(name)
        self._take(name, value)

    def _take(self, name: str, value: int) -> None:
        self._limits[name] = value
        for derived in self._derived:
            if name not in derived._own:
                derived._take(name, value)

    def exceeded(self, name: str, value: int) -> bool:
        limit = self._limits[name]
        return 0 < limit < value
