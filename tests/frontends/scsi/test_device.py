"""The SCSI frontend and an emulated backend on a simulated machine: commands, LUNs, endings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig
from pvdrivers.scsi.features import FrontendFeatures
from pvdrivers.scsi.hotplug import add_lun, remove_lun
from pvdrivers.scsi.keys import lun_state_key
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import SenseKey
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop
from pvdrivers.testing.scsi.byte_unit import (
    READ,
    SENSE,
    TEST_UNIT_READY,
    WRITE,
    ByteUnit,
    cdb,
)
from pvdrivers.testing.scsi.emulated import Behaviour, EmulatedBackend
from pvdrivers.testing.scsi.pair import ScsiPair
from pvdrivers.xenbus.states import XenbusState

FIRST, SECOND, NOWHERE = (ScsiAddress(0, 0, 0, lun) for lun in (0, 1, 7))
SLOTS = 16
Scenario = Callable[[ScsiPair], Awaitable[None]]


def run(
    scenario: Scenario,
    behaviour: Behaviour | None = None,
    *,
    abi: Abi = Abi.X86_64,
    connect: bool = True,
    features: FrontendFeatures | None = None,
    seed: int = 0,
) -> None:
    """With two units, `first` and `second`, in virtual time."""

    async def main() -> None:
        units = {"first": ByteUnit(), "second": ByteUnit()}
        backend = partial(EmulatedBackend, behaviour=behaviour)
        ends = dom0.hypervisor, guest.hypervisor
        pair = ScsiPair(*ends, units, backend=backend, connect=connect, features=features)
        async with asyncio.timeout(1000), pair:
            await scenario(pair)

    with Machine(virtual_time=True) as machine:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(abi=abi)
        with asyncio.Runner(loop_factory=lambda: DeterministicLoop(seed, machine)) as runner:
            runner.run(main())
        assert dom0.accounts["grants_mapped"] == dom0.accounts["grants_unmapped"]


def queue_of(pair: ScsiPair) -> Any:
    (queue,) = pair.backend.queues
    return queue


async def states(pair: ScsiPair, name: str) -> tuple[str | None, str | None]:
    """A LUN's at the backend and at the frontend."""
    paths = (pair.config.backend_path, pair.config.frontend_path)
    both = await pair.toolstack.read_present([f"{path}/{lun_state_key(name)}" for path in paths])
    return both[0], both[1]


# ---- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("abi", Abi)
def test_data_go_both_ways(abi: Abi) -> None:
    async def scenario(pair: ScsiPair) -> None:
        data = bytes(range(256)) * 100
        assert (await pair.frontend.execute(FIRST, cdb(WRITE, 77), data)).good
        assert pair.units["first"].memory[77 : 77 + len(data)] == data
        assert not any(pair.units["second"].memory)
        result = await pair.frontend.execute(FIRST, cdb(READ, 77), room=len(data))
        assert result == CommandResult(Status.GOOD, HostByte.OK, b"", data, 0)
        assert (await pair.frontend.execute(SECOND, cdb(TEST_UNIT_READY))).good

    run(scenario, abi=abi)


def test_a_unit_that_has_less_than_there_is_room_for() -> None:
    async def scenario(pair: ScsiPair) -> None:
        result = await pair.frontend.execute(FIRST, cdb(READ, (1 << 16) - 10), room=100)
        assert (len(result.data), result.residual) == (10, 90)

    run(scenario)


def test_sense() -> None:
    async def scenario(pair: ScsiPair) -> None:
        result = await pair.frontend.execute(FIRST, cdb(0xFF))
        assert (result.status, result.host, result.good) == (Status.CHECK_CONDITION, 0, False)
        assert result.sense == SENSE
        assert result.parsed_sense
        assert result.parsed_sense.key == SenseKey.ILLEGAL_REQUEST

    run(scenario)


def test_no_lun_there() -> None:
    async def scenario(pair: ScsiPair) -> None:
        result = await pair.frontend.execute(NOWHERE, cdb(READ), room=512)
        assert result == CommandResult(Status.GOOD, HostByte.NO_CONNECT, residual=512)

    run(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_more_commands_than_slots(seed: int) -> None:
    async def scenario(pair: ScsiPair) -> None:
        execute = pair.frontend.execute
        results = await asyncio.gather(
            *(execute(FIRST, cdb(WRITE, number), bytes([number])) for number in range(200))
        )
        assert all(result.good for result in results)
        assert pair.units["first"].memory[:200] == bytes(range(200))
        assert pair.frontend.outstanding == 0

    run(scenario, seed=seed)


def test_what_is_no_command() -> None:
    async def scenario(pair: ScsiPair) -> None:
        execute = pair.frontend.execute
        for bad, message in [
            ((b"",), "1 to 16 bytes, not 0"),
            ((bytes(17),), "1 to 16 bytes, not 17"),
            ((cdb(READ), b"x", 1), "not both"),
            ((cdb(READ), b"", -1), "not both"),
            ((cdb(READ), b"", 128 * 4096 + 1), "have 524289 bytes, at most 524288"),
        ]:
            with pytest.raises(UsageError, match=message):
                await execute(FIRST, *bad)
        assert pair.frontend.outstanding == 0
        assert (await execute(FIRST, cdb(READ), room=1)).good

    run(scenario)


@pytest.mark.parametrize(
    ("offered", "wanted", "segments"), [(0, 128, 26), (64, 128, 64), (128, 0, 26), (4096, 512, 512)]
)
def test_segments_that_both_ends_can(offered: int, wanted: int, segments: int) -> None:
    async def scenario(pair: ScsiPair) -> None:
        (queue,) = pair.frontend.queues
        assert queue.max_length == segments * 4096
        data = bytes(range(251)) * (segments * 4096 // 251)
        unit = pair.units["first"]
        unit.memory = bytearray(len(data))
        assert (await pair.frontend.execute(FIRST, cdb(WRITE), data)).good
        assert unit.memory == data
        assert (await pair.frontend.execute(FIRST, cdb(READ), room=len(data))).data == data

    features = FrontendFeatures(sg_grant=wanted)
    run(scenario, Behaviour(sg_grant=offered), features=features)


def test_a_protocol_of_another_abi() -> None:
    async def scenario(pair: ScsiPair) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="cannot speak ia64-abi"):
        run(scenario, features=FrontendFeatures(protocol="ia64-abi"))


# ---- ABORT, RESET, patience ------------------------------------------------------------------

held = pytest.mark.parametrize("answers", [True, False], ids=["answers", "is silent"])


def holding(answers: bool = True) -> Behaviour:
    return Behaviour(holds=lambda cdb: cdb[0] == WRITE, answers_aborted=answers)


async def hold(pair: ScsiPair, address: ScsiAddress, place: int = 0) -> Any:
    """A command that the backend has taken and does not carry out."""
    before = len(queue_of(pair).held)
    issued = pair.frontend.submit(address, cdb(WRITE, place), b"x")
    await pair.wait(lambda: len(queue_of(pair).held) > before)
    return issued


@held
def test_abort(answers: bool) -> None:
    async def scenario(pair: ScsiPair) -> None:
        first, second = await hold(pair, FIRST), await hold(pair, FIRST, 1)
        assert await pair.frontend.abort_task(first)
        assert first.result.host == HostByte.ABORT
        assert not second.done.done()
        queue_of(pair).release()
        await second.done
        assert second.result.good
        assert pair.units["first"].memory[:2] == b"\0x"

    run(scenario, holding(answers))


def test_abort_of_what_has_ended() -> None:
    async def scenario(pair: ScsiPair) -> None:
        issued = pair.frontend.submit(FIRST, cdb(TEST_UNIT_READY))
        await issued.done
        assert await pair.frontend.abort_task(issued)
        assert issued.result.good

    run(scenario)


def test_abort_of_what_waits_for_a_connection() -> None:
    async def scenario(pair: ScsiPair) -> None:
        issued = pair.frontend.submit(FIRST, cdb(TEST_UNIT_READY))
        assert await pair.frontend.abort_task(issued)
        assert issued.result.host == HostByte.ABORT
        assert pair.frontend.outstanding == 0

    run(scenario, connect=False)


@held
def test_reset_is_one_units(answers: bool) -> None:
    async def scenario(pair: ScsiPair) -> None:
        first, second = await hold(pair, FIRST), await hold(pair, SECOND)
        assert await pair.frontend.reset_lun(FIRST)
        assert first.result.host == HostByte.RESET
        assert not second.done.done()
        queue_of(pair).release()
        await second.done
        assert second.result.good

    run(scenario, holding(answers))


@held
def test_a_command_that_takes_too_long(answers: bool) -> None:
    async def scenario(pair: ScsiPair) -> None:
        execute = pair.frontend.execute
        result = await execute(FIRST, cdb(WRITE), b"xy", patience=30)
        assert result == CommandResult(Status.GOOD, HostByte.TIME_OUT, residual=2)
        assert (await execute(FIRST, cdb(TEST_UNIT_READY), patience=30)).good
        assert pair.frontend.outstanding == 0

    run(scenario, holding(answers))


def test_a_full_ring_of_commands_that_take_too_long() -> None:
    async def scenario(pair: ScsiPair) -> None:
        execute = pair.frontend.execute
        results = await asyncio.gather(
            *(execute(FIRST, cdb(WRITE), b"x", patience=30) for _ in range(2 * SLOTS))
        )
        assert {result.host for result in results} == {HostByte.TIME_OUT}
        assert (await execute(FIRST, cdb(TEST_UNIT_READY), patience=30)).good

    run(scenario, holding())


def test_a_backend_that_does_nothing_any_more() -> None:
    """Neither ABORT nor RESET is answered; the command ends for its caller all the same."""

    async def scenario(pair: ScsiPair) -> None:
        queue = queue_of(pair)
        pair.backend.driver.remove(queue.pollable)
        result = await pair.frontend.execute(FIRST, cdb(READ), room=3, patience=30)
        assert result == CommandResult(Status.GOOD, HostByte.TIME_OUT, residual=3)
        assert pair.frontend.outstanding == 3  # with its ABORT and its RESET
        pair.backend.driver.add(queue.pollable)
        await pair.wait(lambda: pair.frontend.outstanding == 0)

    run(scenario)


def test_a_caller_that_is_cancelled() -> None:
    async def scenario(pair: ScsiPair) -> None:
        task = asyncio.create_task(pair.frontend.execute(FIRST, cdb(WRITE), bytes(5000)))
        await pair.wait(lambda: queue_of(pair).held)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert pair.frontend.outstanding == 1  # the backend still reads its data
        queue_of(pair).release()
        await pair.wait(lambda: pair.frontend.outstanding == 0)

    run(scenario, holding())


# ---- LUNs ------------------------------------------------------------------------------------


def test_luns_that_are_there_from_the_start() -> None:
    async def scenario(pair: ScsiPair) -> None:
        assert await pair.frontend.connected() == [FIRST, SECOND]
        path = f"{pair.config.backend_path}/{lun_state_key('dev-1')}"
        async with asyncio.timeout(20), await pair.toolstack.watch(path) as watch:
            async for _ in watch:
                if await states(pair, "dev-1") == ("4", "4"):
                    break

    run(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_luns_come_and_go_while_there_is_io(seed: int) -> None:
    async def scenario(pair: ScsiPair) -> None:
        front, seen = pair.frontend, []
        front.on_luns_changed = lambda: seen.append(front.luns)
        path, place = pair.config.backend_path, ScsiAddress(0, 0, 3, 2)

        async def io() -> None:
            while True:
                assert (await front.execute(FIRST, cdb(TEST_UNIT_READY))).good

        task = asyncio.create_task(io())
        for _ in range(3):
            assert await add_lun(pair.toolstack, path, "dev-5", LunConfig("second", place))
            await front.wait_for_lun(place)
            assert await states(pair, "dev-5") == ("4", "4")
            assert (await front.execute(place, cdb(TEST_UNIT_READY))).good
            await remove_lun(pair.toolstack, path, "dev-5")
            await front.wait_for_lun(place, present=False)
            assert (await states(pair, "dev-5"))[1] == "6"
            assert (await front.execute(place, cdb(TEST_UNIT_READY))).host == HostByte.NO_CONNECT
        assert not task.done()
        task.cancel()
        assert seen == [[FIRST, SECOND, place], [FIRST, SECOND]] * 3
        assert front.state is XenbusState.CONNECTED

    run(scenario, seed=seed)


def test_a_lun_that_the_backend_refuses() -> None:
    async def scenario(pair: ScsiPair) -> None:
        lun = LunConfig("no such unit", NOWHERE)
        assert not await add_lun(pair.toolstack, pair.config.backend_path, "dev-2", lun)
        assert pair.frontend.luns == [FIRST, SECOND]
        assert await states(pair, "dev-2") == ("6", None)

    run(scenario)


async def offer_by_hand(pair: ScsiPair, name: str, v_dev: str) -> None:
    """The backend says that it has set up a LUN there."""
    path = f"{pair.config.backend_path}/vscsi-devs/{name}"
    await pair.toolstack.write(f"{path}/v-dev", v_dev)
    await pair.toolstack.write(f"{path}/state", "3")


@pytest.mark.parametrize("v_dev", ["", "0:0:0", "0:0:0:65536", "9:0:0:1", "x" * 100])
def test_a_lun_in_no_place(v_dev: str) -> None:
    """Or where another one is, whatever the host is called. The others are as before."""

    async def scenario(pair: ScsiPair) -> None:
        await offer_by_hand(pair, "dev-2", v_dev)
        lun = LunConfig("first", ScsiAddress(0, 0, 0, 5))
        assert await add_lun(pair.toolstack, pair.config.backend_path, "dev-3", lun)
        await pair.frontend.wait_for_lun(lun.v_dev)
        assert (await states(pair, "dev-2"))[1] == "6"
        assert pair.frontend.luns == [FIRST, SECOND, lun.v_dev]

    run(scenario)


def test_waiting_for_a_lun_of_a_device_that_goes() -> None:
    async def scenario(pair: ScsiPair) -> None:
        waiting = asyncio.create_task(pair.frontend.wait_for_lun(NOWHERE))
        await asyncio.sleep(0)
        await pair.unplug_forced()
        with pytest.raises(PeerError, match="was removed"):
            await waiting
        assert pair.frontend.luns == []

    run(scenario)


# ---- connections -----------------------------------------------------------------------------


def test_the_ring_is_published_before_the_backend_is_there() -> None:
    """As Linux' scsifront does."""

    async def scenario(pair: ScsiPair) -> None:
        pair.frontend.start()
        await pair.frontend.wait_for(XenbusState.INITIALISED)
        command = asyncio.create_task(pair.frontend.execute(FIRST, cdb(TEST_UNIT_READY)))
        keys = await pair.toolstack.read_keys(
            pair.config.frontend_path, ("ring-ref", "event-channel", "protocol", "state")
        )
        assert keys.keys() == {"ring-ref", "event-channel", "protocol", "state"}
        assert (keys["state"], keys["protocol"]) == ("3", "x86_64-abi")
        pair.backend.start()
        assert (await command).good

    run(scenario, connect=False)


def test_what_waited_and_is_too_long_for_the_backend_that_came() -> None:
    """It fails by itself."""

    async def scenario(pair: ScsiPair) -> None:
        issued = [
            pair.frontend.submit(FIRST, cdb(WRITE), bytes(length))
            for length in (1, 27 * 4096, 26 * 4096)
        ]
        pair.frontend.start()
        pair.backend.start()
        await asyncio.gather(*(each.done for each in issued))
        assert [each.result.good for each in issued] == [True, False, True]
        assert issued[1].result.host == HostByte.ERROR
        assert len(pair.units["first"].cdbs) == 2

    run(scenario, Behaviour(sg_grant=0), connect=False)


def test_resume() -> None:
    """What a lost backend had taken may have been carried out, and is not issued again; what waited
    goes to the next one."""

    async def scenario(pair: ScsiPair) -> None:
        front, unit = pair.frontend, pair.units["first"]
        taken = [await hold(pair, FIRST, number) for number in range(SLOTS - 1)]
        waiting = [front.submit(FIRST, cdb(WRITE, 100 + n), b"y") for n in range(3)]
        queue_of(pair).forget()
        pair.backend.behaviour.holds = lambda cdb: False
        front.resume()
        await asyncio.gather(*(issued.done for issued in (*taken, *waiting)))
        assert [issued.result.host for issued in taken] == [HostByte.RESET] * len(taken)
        assert all(issued.result.good for issued in waiting)
        assert unit.cdbs == [cdb(WRITE, 100 + n) for n in range(3)]
        assert front.reissued == 3
        await front.wait_for(XenbusState.CONNECTED)
        assert front.luns == [FIRST, SECOND]
        assert (await states(pair, "dev-0"))[1] == "4"

    run(scenario, holding())


def test_a_backend_that_starts_again() -> None:
    async def scenario(pair: ScsiPair) -> None:
        await pair.backend.abort()
        command = asyncio.create_task(pair.frontend.execute(FIRST, cdb(TEST_UNIT_READY)))
        pair.new_backend().start()
        result = await command
        assert result.good or result.host == HostByte.RESET  # it was on the ring already
        assert (await pair.frontend.execute(FIRST, cdb(TEST_UNIT_READY))).good

    run(scenario)


def test_close_waits_for_what_is_under_way() -> None:
    async def scenario(pair: ScsiPair) -> None:
        issued = await hold(pair, FIRST)
        closing = asyncio.create_task(pair.frontend.close())
        await asyncio.sleep(1)
        assert not closing.done()
        queue_of(pair).release()
        await closing
        assert issued.result.good
        with pytest.raises(UsageError, match="is closed"):
            await pair.frontend.execute(FIRST, cdb(TEST_UNIT_READY))

    run(scenario, holding())


def test_a_device_that_is_removed() -> None:
    async def scenario(pair: ScsiPair) -> None:
        taken = [await hold(pair, FIRST, number) for number in range(SLOTS - 1)]
        waiting = pair.frontend.submit(FIRST, cdb(TEST_UNIT_READY))
        queue_of(pair).forget()
        await pair.unplug_forced()
        await asyncio.gather(*(issued.done for issued in (*taken, waiting)))
        assert {issued.result.host for issued in taken} == {HostByte.RESET}
        assert waiting.result.host == HostByte.NO_CONNECT

    run(scenario, holding())


def test_description() -> None:
    async def scenario(pair: ScsiPair) -> None:
        assert "connected" in repr(pair.frontend)
        assert "128 segments, 2 LUNs, 0 outstanding" in repr(pair.frontend)
        assert "scsifront queue of domain 1" in repr(pair.frontend.queues[0])
        assert pair.frontend.statistics()["cdb_req"] == 0

    run(scenario)
