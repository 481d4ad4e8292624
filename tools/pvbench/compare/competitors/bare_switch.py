"""A bare switch between two TAPs: `bare taps`."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pvdrivers.backends.uplinks.netlink import in_namespace
from pvdrivers.backends.uplinks.tap import (
    IFF_NO_PI,
    IFF_TAP,
    IFF_VNET_HDR,
    TUNSETIFF,
)
from pvdrivers.tools.pvbench.compare.competitors.bare import BARE
from pvdrivers.tools.pvbench.vnif.real.namespaces import Namespace
from pvdrivers.tools.pvbench.vnif.real.network import BARE as SUBNET
from pvdrivers.tools.pvbench.vnif.real.network import TwoStacks

INTERFACE = "bare0"
TUNSETOFFLOAD = 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4


async def _open_tap(namespace: Namespace) -> int:
    """With all offloads, as those of a PV device have."""

    def call() -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), flags))
        fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
        return fd

    return await in_namespace(call, namespace.name)


@contextmanager
def bare_switch(stacks: TwoStacks) -> Iterator[None]:
    """Connects the two stacks."""
    with ExitStack() as stack:
        fds = []
        for namespace in (stacks.guest, stacks.host):
            fds.append(stacks.loop.call(_open_tap(namespace)))
            stack.callback(os.close, fds[-1])
        process = subprocess.Popen([str(BARE), "taps", *map(str, fds)], pass_fds=fds)
        stack.callback(process.wait)
        stack.callback(process.kill)
        stacks.configure(SUBNET, INTERFACE, INTERFACE)
        yield
