"""What guests with a device do: programs that run on their vcpus and use the real frontends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.sim.vcpu_loop import compute
from pvdrivers.tools.pvsim import kinds
from pvdrivers.tools.pvsim.kinds import SECTOR, parse_optional_time, parse_time
from pvdrivers.tools.pvsim.workloads import gap
from pvdrivers.vnif.mac import parse_mac

NS = 1_000_000_000
ETHERTYPE = (0x88B5).to_bytes(2, "big")  # for local experiments
ADDRESSES = 14  # bytes of a frame's header
Now = Callable[[], int]


class Program(Protocol):
    """`latencies`: ns of each request, from when it was due to its end; `bytes` moved by them."""

    latencies: list[int]
    bytes: int

    async def run(self) -> None: ...


class Arrivals:
    """When requests are due."""

    def __init__(self, interval: int, poisson: bool, rng: random.Random, now: Now) -> None:
        self._interval, self._poisson, self._rng, self._now = interval, poisson, rng, now
        self._due = 0

    def begin(self) -> None:
        """The first comes at some time within an interval, so that guests do not march in step."""
        self._due = self._now() - round(self._rng.random() * self._interval)

    async def next(self) -> int:
        """Waits for the next one; when it was due, ns."""
        self._due += gap(self._interval, self._poisson, self._rng)
        due = self._due
        if (rest := due - self._now()) > 0:
            await asyncio.sleep(rest / NS)
        return due


class DiskJob:
    def __init__(self, spec: kinds.Disk, disk: VbdFrontend, rng: random.Random, now: Now) -> None:
        self.latencies: list[int] = []
        self.bytes = 0
        self._spec, self._disk, self._rng, self._now = spec, disk, rng, now
        self._block = spec.block
        self._blocks = spec.bytes // self._block
        self._next_block = 0
        self._work = parse_optional_time(spec.work, "work")
        self._think = parse_optional_time(spec.thinktime, "thinktime")
        self._data = bytes(self._block)
        self._arrivals: Arrivals | None = None
        if spec.rate_iops:
            interval = max(1, round(NS / spec.rate_iops))
            self._arrivals = Arrivals(interval, spec.rate_process == "poisson", rng, now)

    async def run(self) -> None:
        if self._arrivals:
            self._arrivals.begin()
        await asyncio.gather(*(self._requests() for _ in range(self._spec.iodepth)))

    async def _requests(self) -> None:
        while True:
            due = await self._arrivals.next() if self._arrivals else self._now()
            await self._request()
            if self._work:
                await compute(self._work)
            self.latencies.append(self._now() - due)
            self.bytes += self._block
            if self._think:
                await asyncio.sleep(self._think / NS)

    def _request(self) -> Awaitable[object]:
        rw = self._spec.rw
        if rw.startswith("rand"):
            block = self._rng.randrange(self._blocks)
        else:
            block = self._next_block
            self._next_block = (block + 1) % self._blocks
        sector = block * self._block // SECTOR
        if rw.endswith("write") or (rw == "randrw" and self._rng.random() < 0.5):
            return self._disk.write(sector, self._data)
        return self._disk.read(sector, self._block // SECTOR)


def _frame(target: bytes, source: bytes, payload: bytes, length: int) -> bytes:
    return (target + source + ETHERTYPE + payload).ljust(length, b"\0")


class ClientProgram:
    """A request's payload is its number and the length of the response, both of 8 bytes."""

    def __init__(
        self, spec: kinds.Client, vif: VnifFrontend, server: str, rng: random.Random, now: Now
    ) -> None:
        self.latencies: list[int] = []
        self.bytes = 0
        self._spec, self._vif, self._now = spec, vif, now
        self._own, self._server = parse_mac(vif.mac), parse_mac(server)
        interval = parse_time(spec.interval, "interval")
        self._arrivals = Arrivals(interval, spec.arrival == "poisson", rng, now)
        self._due: dict[int, int] = {}  # of the requests that are not answered, by number

    async def run(self) -> None:
        self._arrivals.begin()
        await asyncio.gather(self._ask(), self._listen())

    async def _ask(self) -> None:
        number = 0
        while True:
            due = await self._arrivals.next()
            self._due[number] = due
            payload = number.to_bytes(8, "big") + self._spec.response.to_bytes(8, "big")
            await self._vif.send([_frame(self._server, self._own, payload, self._spec.request)])
            number += 1

    async def _listen(self) -> None:
        while True:
            for packet in await self._vif.receive():
                data = packet.data
                if data[:6] != self._own:
                    continue  # flooded, before the switch knew its target
                due = self._due.pop(int.from_bytes(data[ADDRESSES : ADDRESSES + 8], "big"), None)
                if due is not None:
                    self.latencies.append(self._now() - due)
                    self.bytes += self._spec.request + len(data)


class ServerProgram:
    def __init__(self, spec: kinds.Server, vif: VnifFrontend) -> None:
        self.latencies: list[int] = []
        self.bytes = 0
        self._vif, self._own = vif, parse_mac(vif.mac)
        self._work = parse_time(spec.work, "work")

    async def run(self) -> None:
        while True:
            for packet in await self._vif.receive():
                data = packet.data
                if data[:6] != self._own:
                    continue
                await compute(self._work)
                payload = data[ADDRESSES : ADDRESSES + 16]
                length = int.from_bytes(payload[8:], "big")
                await self._vif.send([_frame(data[6:12], self._own, payload, length)])


def create(
    spec: kinds.Workload, frontend: Any, server: str, rng: random.Random, now: Now
) -> Program:
    """`server`: the MAC address of a client's."""
    match spec:
        case kinds.Disk():
            return DiskJob(spec, frontend, rng, now)
        case kinds.Client():
            return ClientProgram(spec, frontend, server, rng, now)
        case _:
            assert isinstance(spec, kinds.Server)
            return ServerProgram(spec, frontend)
