"""What must work, whichever backend serves the guest's interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from addresses import FAMILIES
from network import FRONTEND, JUMBO, attached, bridge
from serve import Lab

# What ethtool can turn off in the guest, and of which versions of IP its kernel then cuts TCP into
# segments itself. The IPv4 checksum is always left to the backend.
OFFLOADS = {
    "tx-checksum-ipv6": {6},
    "tx-scatter-gather": {4, 6},
    "tx-tcp-segmentation": {4},
    "tx-tcp6-segmentation": {6},
    "generic-segmentation-offload": set[int](),
    "generic-receive-offload": set[int](),
}
RATE = 200_000  # bytes a second


@asynccontextmanager
async def frontend_parameters(lab: Lab, parameters: str) -> AsyncIterator[None]:
    """The guest's driver is loaded with these for the time of a block."""
    await lab.shell.run(f"rmmod xen_netfront; insmod {FRONTEND} {parameters}")
    yield
    await lab.shell.run(f"rmmod xen_netfront; insmod {FRONTEND}")


async def basic(lab: Lab) -> None:
    """ICMP, TCP with verified content, iperf3, both families."""
    async with bridge(), attached(lab) as traffic:
        await traffic.verify()
        await traffic.bulk()


async def offloads(lab: Lab) -> None:
    """Traffic without each of the guest's offloads, and without any."""
    async with bridge(), attached(lab) as traffic:
        for feature, cut in OFFLOADS.items():
            print(f"    without {feature}", flush=True)
            await traffic.without(cut, feature)
        await traffic.without({4, 6}, *OFFLOADS)


async def jumbo(lab: Lab) -> None:
    """Frames of 9000 bytes: vif-bridge gives the interface in dom0 the bridge's MTU."""
    async with bridge(JUMBO), attached(lab, mtu=JUMBO) as traffic:
        for family in FAMILIES:
            await traffic.ping(family, JUMBO - 100)
            await traffic.content(family)


async def interrupts(lab: Lab) -> dict[str, int]:
    """How many interrupts each ring of the guest's interface has had."""
    lines = (await lab.shell.run("grep -e -q /proc/interrupts")).splitlines()
    fields = (line.split() for line in lines)
    return {words[-1]: sum(map(int, words[1:3])) for words in fields}


async def queues(lab: Lab) -> None:
    """Two queues: several connections at once use both, in both directions."""
    async with bridge(), frontend_parameters(lab, "max_queues=2"), attached(lab) as traffic:
        before = await interrupts(lab)
        assert len(before) == 4, before
        for arguments in ("", "--reverse"):
            await traffic.iperf(FAMILIES[0], f"--parallel 8 --bytes 4M {arguments}")
        counts = await interrupts(lab)
        print(f"    interrupts: {counts}", flush=True)
        assert all(counts[name] > before[name] for name in before), (before, counts)


async def rate(lab: Lab) -> None:
    """A limit of the toolstack's on what the guest sends; twice as much is surely not limited."""
    async with bridge(), attached(lab, f"rate={RATE // 1000}KB/s") as traffic:
        end = await traffic.iperf(FAMILIES[0], "--bytes 1M")
        seen = end["sum_received"]["bits_per_second"] / 8
        print(f"    {seen / 1000:.0f} of at most {RATE / 1000:.0f} kB/s", flush=True)
        assert seen < 2 * RATE


CHECKS = (basic, offloads, jumbo, queues, rate)
