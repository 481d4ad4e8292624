"""A cable between two uplinks: a switch's way to the outside."""

import errno

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned, created
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.ring.errors import UsageError


class Patch(Owned):
    """What one uplink gives is sent to the other, by a thread; it owns both and closes them.

    UsageError: one of them does not take all offloads.
    """

    def __init__(self, one: Uplink, other: Uplink) -> None:
        if one is other:
            raise UsageError(f"{one!r} cannot be both ends of a patch")
        one.check_unused()
        other.check_unused()
        pointer = lib.pv_uplink_patch_create(one.pointer, other.pointer)
        if pointer == ffi.NULL and ffi.errno == errno.ENOTSUP:
            raise UsageError(
                f"{one!r} and {other!r} cannot be patched: both must take blank checksums and GSO "
                "packets, of IPv4 and IPv6"
            )
        self._pointer = created(pointer, "patch")
        self.ends = one, other
        self._name = f"{one.where()} and {other.where()}"
        for end in self.ends:
            end._pointer = None

    def close(self) -> None:
        """A second call does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            for end in self.ends:
                end._forget()
            lib.pv_uplink_patch_destroy(pointer)

    def __repr__(self) -> str:
        return f"<Patch {self._name}{'' if self._pointer is not None else ', closed'}>"
