"""A real Xen, seen through the seam: from dom0, a driver domain or any guest with Xen's libraries.

    store = await native.connect_store()
    hypervisor = await native.open_hypervisor(store)

libxenevtchn, libxengnttab and libxenforeignmemory are loaded when a hypervisor is opened. On a
machine without Xen both calls raise UsageError with one sentence.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import Hypervisor, HypervisorError
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenstore.client import DEFAULT_DEVICE, DEFAULT_SOCKET, XenstoreClient

__all__ = ["NativeHypervisor", "connect_store", "open_hypervisor"]


class NativeHypervisor(Hypervisor):
    """A real Xen; its libraries must outlive every driver that uses it."""

    def close(self) -> None:
        """UsageError while a driver has an event channel handle."""
        if self.open_channels:
            raise UsageError(f"{self!r} is in use: end the drivers that have it first")
        super().close()


async def connect_store(
    socket: str | os.PathLike[str] = DEFAULT_SOCKET,
    device: str | os.PathLike[str] = DEFAULT_DEVICE,
) -> XenstoreClient:
    """The xenstore of this domain: the daemon's socket ($XENSTORED_PATH) where there is one, else
    the kernel's device. UsageError when there is neither; OSError when it cannot be used.
    """
    path = os.environ.get("XENSTORED_PATH") or socket
    with suppress(FileNotFoundError, ConnectionRefusedError):  # no daemon, or one of long ago
        return await XenstoreClient.connect(path)
    with suppress(FileNotFoundError):
        return XenstoreClient.over_device(device)
    raise UsageError(
        f"there is no xenstore on this machine: nothing answers at {os.fspath(path)},"
        f" and there is no {os.fspath(device)}"
    )


async def open_hypervisor(
    store: XenstoreClient, libraries: str | os.PathLike[str] | None = None
) -> NativeHypervisor:
    """The real Xen as seen by the domain this process runs in, whose domid `store` knows.

    `libraries` is the folder the Xen libraries lie in; None: wherever the dynamic linker finds
    them. UsageError when there is no Xen; HypervisorError when it may not be used.
    """
    domid = int(await store.read_str("domid"))
    folder = ffi.NULL if libraries is None else os.fsencode(libraries)
    opened = ffi.new("struct pv_hypervisor **")
    problem = ffi.new("char[512]")
    error = -lib.pv_native_open_hypervisor(folder, domid, opened, problem, len(problem))
    why = ffi.string(problem).decode("utf-8", "replace")
    if error in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        raise UsageError(f"there is no Xen on this machine: {why}")
    if error:
        raise HypervisorError(error, why or os.strerror(error))
    return NativeHypervisor(opened[0])
