"""Two network stacks of the kernel, and what connects them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.namespaces import Namespace, check_privileges, namespaces


@dataclass(frozen=True)
class Subnet:
    """An IPv4 and an IPv6 network for benchmarks alone, with two hosts."""

    number: int

    def host(self, version: int, index: int) -> str:
        return (
            f"198.18.{self.number}.{index}" if version == 4 else f"fd00:18:{self.number}::{index}"
        )

    def with_lengths(self, index: int) -> Sequence[str]:
        return f"{self.host(4, index)}/24", f"{self.host(6, index)}/64"

    @property
    def far_end(self) -> dict[int, str]:
        """The host's addresses, by version of IP."""
        return {version: self.host(version, 2) for version in (4, 6)}


PV, VETH, BARE = Subnet(1), Subnet(2), Subnet(3)


@dataclass(frozen=True)
class TwoStacks:
    guest: Namespace
    host: Namespace
    loop: Loop

    def configure(self, subnet: Subnet, guest: str, host: str, mac: str | None = None) -> None:
        """Brings up the guest's interface (which gets `mac`) and the host's."""
        self.loop.call(self.guest.configure(guest, subnet.with_lengths(1), mac))
        self.loop.call(self.host.configure(host, subnet.with_lengths(2)))


@contextmanager
def two_stacks() -> Iterator[TwoStacks]:
    """BenchError in one sentence: what is missing, or what the kernel refuses meanwhile."""
    check_privileges()
    programs.check_programs()
    number = os.getpid()
    loop = None
    try:
        with namespaces(f"pvbench-guest-{number}", f"pvbench-host-{number}") as (guest, host):
            loop = Loop()
            yield TwoStacks(guest, host, loop)
    except UsageError as error:
        raise BenchError(str(error)) from None
    finally:
        if loop:
            loop.close()
