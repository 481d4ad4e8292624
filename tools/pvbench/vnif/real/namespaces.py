"""Network namespaces, and interfaces in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvdrivers.backends.uplinks.netlink import NAMESPACES, find, in_namespace, rtnetlink
from pvdrivers.tools.pvbench.errors import BenchError

NO_DAD = 2  # IFA_F_NODAD: an IPv6 address is usable at once
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # and their bits


def check_privileges(status: Path = Path("/proc/self/status")) -> None:
    """BenchError: this process may make no namespaces and TAP interfaces."""
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    effective = int(lines["CapEff"], 16)
    missing = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise BenchError(
            f"--real makes network namespaces and TAP interfaces, which needs "
            f"{' and '.join(missing)}, as root has; without --real no privileges are needed"
        )


@dataclass(frozen=True)
class Namespace:
    name: str

    def command(self, *words: str) -> list[str]:
        """A program in it."""
        return ["nsenter", f"--net={NAMESPACES}/{self.name}", *words]

    async def configure(
        self, interface: str, addresses: Sequence[str], mac: str | None = None
    ) -> None:
        """Gives an interface its addresses, each with a prefix length, and brings it up."""

        def call() -> None:
            with rtnetlink(interface) as route:
                link = find(route, interface)
                if link is None:
                    raise BenchError(f"interface {interface} is gone")
                settings: dict[str, Any] = {"address": mac} if mac else {}
                route.link("set", index=link.index, state="up", **settings)
                for address in addresses:
                    host, _, length = address.partition("/")
                    flags = {"flags": NO_DAD} if ":" in host else {}
                    route.addr(
                        "add", index=link.index, address=host, prefixlen=int(length), **flags
                    )

        await in_namespace(call, self.name)


@contextmanager
def namespaces(*names: str) -> Iterator[list[Namespace]]:
    """New ones, which end with the block."""
    from pyroute2 import netns

    made: list[Namespace] = []
    try:
        for name in names:
            netns.create(name)
            made.append(Namespace(name))
        yield made
    finally:
        for namespace in made:
            netns.remove(namespace.name)


async def connect(one: Namespace, other: Namespace, interface: str) -> None:
    """A veth pair: an interface of that name in both."""

    def call() -> None:
        with rtnetlink(f"veth {interface}") as route:
            route.link(
                "add",
                ifname=interface,
                kind="veth",
                peer={"ifname": interface, "net_ns_fd": other.name},
            )

    await in_namespace(call, one.name)
