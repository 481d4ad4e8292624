"""An uplink into the host's network: a TAP interface, on a bridge or left to a script."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import struct
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from pvdrivers._core import lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.uplinks.netlink import (
    NO_PERMISSION,
    check_name,
    find,
    need_bridge,
    open_in_namespace,
    rtnetlink,
)
from pvdrivers.backends.uplinks.uplink import Uplink, check_queues
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import packet_pool

if TYPE_CHECKING:
    from pyroute2 import IPRoute

log = logging.getLogger("pvdrivers.backends.uplinks")

PORT_MAC = "fe:ff:ff:ff:ff:ff"  # so high that a bridge never takes it for its own

# <linux/if_tun.h>
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000


class TapUplink(Uplink):
    """One interface of the host, with a queue for each of the guest's.

    It ends with the uplink, or with `persistent` when it is discarded or deleted
    (`netlink.delete`): then it stays on its bridge, with its addresses, while a process that was
    killed is started again.
    """

    @classmethod
    async def open(
        cls,
        interface: str,
        *,
        queues: int = 1,
        bridge: str | None = None,
        mtu: int | None = None,
        persistent: bool = False,
        namespace: str | None = None,
    ) -> TapUplink:
        """Makes the interface, or takes up one that no process uses.

        With `bridge` it becomes the bridge's port, has its MTU unless there is another one given,
        and is up. Without, that is left to who knows what it is for, such as Xen's vif-bridge
        script. `namespace` is a network namespace's name. Raises UsageError, in one sentence, when
        it cannot be had.
        """
        check_name(interface)
        check_queues(queues, interface)
        uplink = await open_in_namespace(
            partial(cls, interface, queues, bridge, mtu, persistent), namespace
        )
        uplink._watch(asyncio.get_running_loop())
        return uplink

    def __init__(
        self, interface: str, queues: int, bridge: str | None, mtu: int | None, persistent: bool
    ) -> None:
        """Blocks, and has to do with the namespace of its thread: use `open`."""
        self.interface = interface
        self.bridge = bridge
        self._loop: asyncio.AbstractEventLoop | None = None
        with ExitStack() as undo:
            fds = _open_queues(interface, queues, undo)
            with rtnetlink(f"TAP {interface}") as route:
                _configure(route, interface, queues, bridge, mtu)
            if persistent:
                fcntl.ioctl(fds[0], TUNSETPERSIST, 1)
            self._gone, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            undo.callback(os.close, self._gone)
            undo.callback(os.close, theirs)
            pointer = created(
                lib.pv_tap_uplink_create(packet_pool(), fds, queues, theirs), interface
            )
            undo.pop_all()
        self._fd = fds[0]  # the uplink's
        super().__init__(pointer)

    def where(self) -> str:
        return f"{self.name} {self.interface}" + (f" on {self.bridge}" if self.bridge else "")

    def close(self) -> None:
        """From any thread: a loop that still runs sees the pipe's end."""
        super().close()
        if self._loop is None or self._loop.is_closed():
            self._unwatch()

    def _leave_nothing(self) -> None:
        fcntl.ioctl(self._fd, TUNSETPERSIST, 0)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._gone, self._read_gone)
        self._loop = loop

    def _read_gone(self) -> None:
        """The interface is gone, or the uplink is closed, be it by a filter that has taken it."""
        if os.read(self._gone, 8):
            log.warning(
                "interface %s has been deleted by another program: its guest has no network until "
                "its device is attached again",
                self.interface,
            )
        self._unwatch()

    def _unwatch(self) -> None:
        if self._gone >= 0:
            if self._loop is not None:
                self._loop.remove_reader(self._gone)
            os.close(self._gone)
            self._gone = -1


def _open_queues(interface: str, queues: int, undo: ExitStack) -> list[int]:
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
    fds: list[int] = []
    try:
        for _ in range(queues):
            fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            undo.callback(os.close, fds[-1])
            fcntl.ioctl(fds[-1], TUNSETIFF, struct.pack("16sH22x", os.fsencode(interface), flags))
    except OSError as error:
        raise UsageError(f"TAP {interface}: {_why_no_queue(error, queues)}") from None
    return fds


def _why_no_queue(error: OSError, queues: int) -> str:
    if error.errno == errno.EPERM:
        return NO_PERMISSION
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "this kernel has no TAP interfaces (/dev/net/tun)"
    if error.errno == errno.EBUSY:
        return "another process has it"
    if error.errno == errno.EINVAL:
        made = "without" if queues > 1 else "with"
        return f"the name is another interface's, or that of a TAP made {made} multi_queue"
    return os.strerror(error.errno or 0).lower()


def _configure(
    route: IPRoute, interface: str, queues: int, bridge: str | None, mtu: int | None
) -> None:
    """What is so already is left alone: a TAP that root has made is used without privileges."""
    link = find(route, interface)
    if link is None:
        raise UsageError(f"TAP {interface}: it has been deleted")
    if link.tun_queues > queues:  # the kernel lets several processes share one with multi_queue
        raise UsageError(f"TAP {interface}: another process has it")
    wanted: dict[str, Any] = {}
    if bridge is not None:
        on = need_bridge(route, bridge)
        mtu = mtu or on.mtu
        wanted = {"address": PORT_MAC, "master": on.index, "state": "up"}
    if mtu is not None:
        wanted["mtu"] = mtu
    now = {"address": link.mac, "master": link.bridge, "state": link.state, "mtu": link.mtu}
    changes = {key: value for key, value in wanted.items() if now[key] != value}
    if changes:
        route.link("set", index=link.index, **changes)
