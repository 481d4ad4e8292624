"""The SCSI backend and our frontend, whole: each mode, direct access beside emulation, and kills
with commands of both kinds in flight, of which none is lost and none is done twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.scsi.host import HostConfig, ServeOptions
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.backends.stores.store import FileStore, RamStore
from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.operations import operation
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.testing.checks import CHECKS, Check
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.loopback import Loopback
from pvdrivers.xenstore.client import XenstoreClient

from .ring_guest import BLOCK, INQUIRY, READY, Disk, read_10, write_10

SIZE = 1 << 20
AT = ScsiAddress(0, 0, 0, 0)
COUNT = bytes([0xC3]).ljust(6, b"\0")


class Counter(Disk):
    """A disk that can also count, which must not be done twice: each COUNT answers with its number,
    and writes that down in the journal."""

    journal_room = 8

    def take_up(self, journal: Journal) -> None:
        self.journal = journal

    @operation(0xC3, "COUNT", "c3 00 00 00 00 07", excludes_direct_access=True)
    def count(self, command: Command) -> Answer:
        if known := self.journal.answer_of(command.identity):
            return known
        number = int.from_bytes(self.journal.state or b"", "big") + 1
        answer = Answer(data=number.to_bytes(8, "big"))
        self.journal.commit(bytes(answer.data), command.identity, answer)
        return answer

    def close(self) -> None:
        super().close()
        if self.store:
            self.store.close()


@dataclass(frozen=True)
class ServeCounters:
    """`image`: a file that outlives the backend's process; "": memory."""

    image: str = ""
    may_block: bool = False

    def __call__(
        self, client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
    ) -> ScsiService:
        async def open_unit(host: HostConfig, p_dev: str) -> Counter:
            store = FileStore(self.image, engine="sync") if self.image else RamStore(SIZE)
            unit = Counter(store)
            unit.may_block = self.may_block
            return unit

        return ScsiService(
            client,
            hypervisor,
            lambda host: ServeOptions(open_unit),
            state_directory=state_directory,
        )


def host_of(serve: ServeCounters) -> DeviceUnderTest:
    luns = [LunConfig("counter", AT)]
    return DeviceUnderTest(partial(scsi_config, 0, luns=luns), ScsiFrontend, serve)


async def work(frontend: Any) -> None:
    await frontend.connected()
    for number, blocks in enumerate((1, 8, 9, 200)):  # the last needs a list
        data = os.urandom(blocks * BLOCK)
        assert (await frontend.execute(AT, write_10(number * 200, blocks), data)).good
        result = await frontend.execute(AT, read_10(number * 200, blocks), room=len(data))
        assert result.data == data
    assert (await frontend.execute(AT, INQUIRY, room=36)).good
    assert (await frontend.execute(AT, READY)).good
    counts = [(await frontend.execute(AT, COUNT, room=8)).data for _ in range(3)]
    first = int.from_bytes(counts[0], "big")
    assert [int.from_bytes(count, "big") for count in counts] == [first, first + 1, first + 2]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_checks(check: Check) -> None:
    # Two guests count on one unit, so each of them on its own would miss numbers.
    workload = read_and_write if check is CHECKS["two guests"] else work
    check(host_of(ServeCounters()), workload)


async def read_and_write(frontend: Any) -> None:
    await frontend.connected()
    for _ in range(20):
        assert (await frontend.execute(AT, write_10(3), bytes(BLOCK))).good
        assert (await frontend.execute(AT, COUNT, room=8)).good
        assert (await frontend.execute(AT, read_10(3), room=BLOCK)).data == bytes(BLOCK)


@pytest.mark.parametrize("abi", Abi)
def test_guests_of_every_abi_are_served_directly(abi: Abi) -> None:
    with Loopback(host_of(ServeCounters()), abi=abi) as loopback:
        loopback.run(work)
        [counters] = [loopback.backend.statistics()]
        assert counters["rd_req"] == counters["wr_req"] == 4
        assert counters["tur_req"] == 1
        assert counters["emulated"] == 4


def test_a_unit_with_a_thread_of_its_own() -> None:
    with Loopback(host_of(ServeCounters(may_block=True))) as loopback:
        loopback.run(work)


def trace_of(seed: int) -> list[str]:
    device = host_of(ServeCounters())
    with Loopback(device, mode="deterministic", seed=seed, trace=True) as loopback:
        loopback.run(many_at_once)
        return [str(record) for record in loopback.machine.read_trace()]


async def many_at_once(frontend: Any) -> None:
    await frontend.connected()

    async def one(block: int) -> None:
        for value in range(5):
            data = bytes([value, block]) * (BLOCK // 2)
            assert (await frontend.execute(AT, write_10(block), data)).good
            assert (await frontend.execute(AT, COUNT, room=8)).good
            assert (await frontend.execute(AT, read_10(block), room=BLOCK)).data == data

    await asyncio.gather(*map(one, range(20)))


def test_a_seed_owns_the_run() -> None:
    assert trace_of(5) == trace_of(5)


@pytest.mark.slow
@pytest.mark.parametrize("may_block", [False, True])
def test_killed_with_commands_in_flight(may_block: bool, tmp_path: Path) -> None:
    """Direct and emulated ones. The numbers that the guest is told are each one more, whichever
    process counted: none is missing, and none comes twice. What was written is there."""
    image = tmp_path / "image"
    image.write_bytes(bytes(SIZE))
    told: list[int] = []
    latest: dict[int, bytes] = {}

    async def count(frontend: Any) -> None:
        for _ in range(40):
            result = await frontend.execute(AT, COUNT, room=8)
            assert result.good, result
            told.append(int.from_bytes(result.data, "big"))

    async def write(frontend: Any, block: int) -> None:
        for value in range(40):
            data = bytes([value, block]) * (BLOCK // 2)
            assert (await frontend.execute(AT, write_10(block), data)).good
            latest[block] = data
            assert (await frontend.execute(AT, read_10(block), room=BLOCK)).data == data

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        for kill in range(4):
            before = len(told)
            users: list[Callable[[], Any]] = [partial(count, frontend)] * 4
            users += [partial(write, frontend, block) for block in range(10)]
            using = [asyncio.create_task(user()) for user in users]
            while len(told) < before + 20 * kill + 1:  # the kill comes in the middle  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            loopback.kill_backend()
            loopback.restart_backend()
            await asyncio.gather(*using)
        assert frontend.reissued == 0

    device = host_of(ServeCounters(str(image), may_block))
    with Loopback(device, mode="processes") as loopback:
        loopback.run(scenario)
    assert sorted(told) == list(range(1, 4 * 4 * 40 + 1))
    content = image.read_bytes()
    assert all(content[b * BLOCK : (b + 1) * BLOCK] == data for b, data in latest.items())
