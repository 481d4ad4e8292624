"""The host's network interfaces: bridges, VXLAN, and what is set of an interface.

The calls may block, since the kernel has one lock for all interfaces, and they belong to a network
namespace, which is a thread's property. So each is carried out in a daemon thread of its own, which
may enter a namespace because it ends with the call, and with a limit of time. pyroute2's calls also
need a thread without an asyncio loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import importlib
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pvdrivers.daemon_threads import Closable, in_daemon_thread, open_in_daemon_thread
from pvdrivers.ring.errors import UsageError

if TYPE_CHECKING:
    from pyroute2 import IPRoute

T = TypeVar("T")
C = TypeVar("C", bound=Closable)

LIMIT = 10.0  # seconds that a call may take
MAX_NAME = 15  # bytes: IFNAMSIZ - 1
NAMESPACES = "/run/netns"  # where `ip netns add` puts them
VXLAN_PORT = 4789
NO_PERMISSION = (
    "only a process with CAP_NET_ADMIN, such as root's, may do this; without it there are the "
    "passt uplink and a TAP that root has made with `ip tuntap add NAME mode tap user USER` (with "
    "multi_queue for more than one queue)"
)


async def in_namespace(call: Callable[[], T], namespace: str | None) -> T:
    """What `call()` returns, carried out in a network namespace of that name (None: ours).

    UsageError: there is no such namespace, it may not be entered, or the call takes too long.
    """
    return await _within_limit(in_daemon_thread(partial(_enter_and_call, namespace, call)))


async def open_in_namespace(open_: Callable[[], C], namespace: str | None) -> C:
    """The same for what has to be closed, which is done when it comes too late."""
    return await _within_limit(open_in_daemon_thread(partial(_enter_and_call, namespace, open_)))


async def _within_limit(call: Coroutine[None, None, T]) -> T:
    try:
        return await asyncio.wait_for(call, LIMIT)
    except TimeoutError:
        raise UsageError(
            f"the kernel has not answered within {LIMIT:g} s about a network interface"
        ) from None


def _enter_and_call(namespace: str | None, call: Callable[[], T]) -> T:
    if namespace is not None:
        _enter(namespace)
    return call()


def _enter(namespace: str) -> None:
    try:
        fd = os.open(os.path.join(NAMESPACES, namespace), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"network namespace {namespace}: {os.strerror(error.errno or 0).lower()} "
            f"({NAMESPACES} has those that there are)"
        ) from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, 0x40000000) != 0:  # CLONE_NEWNET
            why = os.strerror(ctypes.get_errno()).lower()
            raise UsageError(f"network namespace {namespace} cannot be entered: {why}")
    finally:
        os.close(fd)


def check_name(name: str) -> None:
    """UsageError: no interface can have the name."""
    if not 0 < len(os.fsencode(name)) <= MAX_NAME:
        raise UsageError(
            f"interface name {name!r}: it has {len(os.fsencode(name))} bytes, not 1 to {MAX_NAME}"
        )
    if name in (".", "..") or any(character in "/:%" or character.isspace() for character in name):
        raise UsageError(f"interface name {name!r}: a /, :, % or blank in it")


def load() -> None:
    """Imports pyroute2 now. It takes a third of a second, on a slow machine seconds, and who has
    guests waiting has none: Xen's toolstack gives a backend ten."""
    importlib.import_module("pyroute2")


@contextmanager
def rtnetlink(what: str) -> Iterator[IPRoute]:
    """The kernel's interface to routing and links, in this thread's namespace. What it refuses
    becomes a UsageError that begins with `what`."""
    from pyroute2 import IPRoute, NetlinkError  # only when it is used: see `load`

    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        raise UsageError(f"{what}: {_why(error.code)}") from None


def _why(code: int) -> str:
    if code in (errno.EPERM, errno.EACCES):
        return NO_PERMISSION
    if code == errno.EEXIST:
        return "there is one already"
    if code == errno.ENODEV:
        return "there is no such interface"
    if code == errno.EOPNOTSUPP:
        return "this kernel has no such kind of interface"
    return os.strerror(code).lower()


@dataclass(frozen=True)
class Link:
    """An interface as it is."""

    index: int
    name: str
    kind: str | None  # as in `ip link add type`
    mac: str
    mtu: int
    state: Literal["up", "down"]  # as it was set
    bridge: int  # its index; 0: on none
    tun_queues: int  # that processes hold; 0: it is no TAP with multi_queue

    @classmethod
    def read(cls, message: Any) -> Link:
        information = message.get_attr("IFLA_LINKINFO")
        kind = information.get_attr("IFLA_INFO_KIND") if information else None
        return cls(
            index=message["index"],
            name=message.get_attr("IFLA_IFNAME"),
            kind=kind,
            mac=message.get_attr("IFLA_ADDRESS"),
            mtu=message.get_attr("IFLA_MTU"),
            state="up" if message["flags"] & 1 else "down",  # IFF_UP
            bridge=message.get_attr("IFLA_MASTER") or 0,
            tun_queues=_tun_queues(information) if kind == "tun" else 0,
        )


def _tun_queues(information: Any) -> int:
    data = information.get_attr("IFLA_INFO_DATA")
    attached = data.get_attr("IFLA_TUN_NUM_QUEUES") or 0
    return int(attached + (data.get_attr("IFLA_TUN_NUM_DISABLED_QUEUES") or 0))


def find(route: IPRoute, name: str) -> Link | None:
    from pyroute2 import NetlinkError

    try:
        return Link.read(route.link("get", ifname=name)[0])
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def need_bridge(route: IPRoute, name: str) -> Link:
    """UsageError: there is no bridge of that name."""
    bridge = find(route, name)
    if bridge is None:
        raise UsageError(f"there is no bridge {name}: `ip link add {name} type bridge` makes one")
    if bridge.kind != "bridge":
        raise UsageError(f"{name} is no bridge")
    return bridge


# ---- What is asked for by users -------------------------------------------------------------


async def find_link(name: str, *, namespace: str | None = None) -> Link | None:
    """The interface of that name; None: there is none."""

    def call() -> Link | None:
        with rtnetlink(name) as route:
            return find(route, name)

    return await in_namespace(call, namespace)


async def create_bridge(name: str, *, mtu: int | None = None, namespace: str | None = None) -> None:
    """A bridge without STP, which forwards at once, as Xen's scripts make them. It is up."""
    check_name(name)

    def call() -> None:
        with rtnetlink(f"bridge {name}") as route:
            size = {} if mtu is None else {"mtu": mtu}
            route.link(
                "add",
                ifname=name,
                kind="bridge",
                br_stp_state=0,
                br_forward_delay=0,
                state="up",
                **size,
            )

    await in_namespace(call, namespace)


async def create_vxlan(
    name: str,
    number: int,
    *,
    local: str,
    remote: str,
    device: str,
    bridge: str | None = None,
    port: int = VXLAN_PORT,
    namespace: str | None = None,
) -> None:
    """A tunnel of Ethernet packets to the host `remote`, over `device` and its address `local`.

    `number` is the network's, the same at both ends (1 to 16777215). The kernel takes the room for
    its own headers (50 bytes, with IPv6 70) off the device's MTU.
    """
    check_name(name)
    if not 1 <= number < 1 << 24:
        raise UsageError(f"VXLAN {name}: number {number} is not 1 to {(1 << 24) - 1}")
    ends = _tunnel_ends(name, local, remote)

    def call() -> None:
        with rtnetlink(f"VXLAN {name}") as route:
            below = find(route, device)
            if below is None:
                raise UsageError(f"VXLAN {name}: there is no interface {device}")
            on = {} if bridge is None else {"master": need_bridge(route, bridge).index}
            route.link(
                "add",
                ifname=name,
                kind="vxlan",
                vxlan_id=number,
                vxlan_link=below.index,
                vxlan_port=port,
                state="up",
                **ends,
                **on,
            )

    await in_namespace(call, namespace)


def _tunnel_ends(name: str, local: str, remote: str) -> dict[str, str]:
    try:
        versions = {ip_address(address).version for address in (local, remote)}
    except ValueError as error:
        raise UsageError(f"VXLAN {name}: {error}") from None
    if len(versions) > 1:
        raise UsageError(f"VXLAN {name}: {local} and {remote} are not of the same version of IP")
    suffix = "6" if versions == {6} else ""
    return {f"vxlan_local{suffix}": local, f"vxlan_group{suffix}": remote}


async def create_vxlan_bridge(
    bridge: str,
    number: int,
    *,
    local: str,
    remote: str,
    device: str,
    port: int = VXLAN_PORT,
    namespace: str | None = None,
) -> str:
    """A bridge that a bridge on another host continues: both with a tunnel to the other as a port.
    What is put on either is on one Ethernet. Returns the tunnel's name."""
    tunnel = f"vxlan{number}"
    await create_bridge(bridge, namespace=namespace)
    try:
        await create_vxlan(
            tunnel,
            number,
            local=local,
            remote=remote,
            device=device,
            bridge=bridge,
            port=port,
            namespace=namespace,
        )
    except BaseException:
        await delete(bridge, namespace=namespace)
        raise
    return tunnel


async def delete(name: str, *, namespace: str | None = None) -> None:
    """UsageError: there is no such interface."""

    def call() -> None:
        with rtnetlink(name) as route:
            route.link("del", index=route.link("get", ifname=name)[0]["index"])

    await in_namespace(call, namespace)
