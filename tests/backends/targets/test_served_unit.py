"""A logical unit behind rings: its commands one after the other, and direct access beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pvdrivers._core import lib
from pvdrivers.backends.scsi.queue import ScsiQueue
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.emulated_unit import DEVICE_RESET
from pvdrivers.backends.targets.logical_unit import Done
from pvdrivers.backends.targets.served_unit import ServedUnit
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.scsi.result import (
    TASK_MANAGEMENT_FAILURE,
    TASK_MANAGEMENT_SUCCESS,
    HostByte,
    Result,
    Status,
)
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.sim import Machine

from ..scsi.ring_guest import (
    BLOCK,
    INQUIRY,
    LUN_0,
    PATIENCE,
    READY,
    Disk,
    Response,
    RingGuest,
    read_10,
    until,
    write_10,
)

WAIT, HOLD, HOLD_FAST, FAIL = (
    bytes.fromhex(cdb).ljust(6, b"\0") for cdb in ("c0", "c1", "c101", "c2")
)
READY_HERE = b"\0\0\0\0\0\1"  # a CONTROL byte that leaves it to the unit
ABORT, RESET = int(lib.VSCSIIF_ACT_SCSI_ABORT), int(lib.VSCSIIF_ACT_SCSI_RESET)


class Served:
    """A unit, two guests that see it, and their queues, which the loop drives."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.machine = Machine()
        self.dom0 = self.machine.create_domain(privileged=True)
        self.served = ServedUnit(disk)
        self.served.start()
        self._driver = LoopDriver()
        self.queues: list[ScsiQueue] = []
        self.guests = [self._connect(f"guest {number}") for number in (1, 2)]

    def _connect(self, name: str) -> RingGuest:
        domain = self.machine.create_domain()
        guest = RingGuest(domain.hypervisor)
        channels = self.dom0.hypervisor.open_event_channels()
        config = {
            "hypervisor": self.dom0.hypervisor.cdata,
            "evtchn": channels.cdata,
            "frontend": domain.domid,
            "abi": domain.hypervisor.abi,
            "ring_ref": guest.ring_ref,
            "remote_port": guest.port,
            "max_segments": 128,
        }
        queue = ScsiQueue(config)
        self.nexus = self.served.attach(Nexus(name))
        queue.set_luns([(LUN_0, self.nexus)])
        self._driver.add(queue.pollable)
        self.queues.append(queue)
        return guest

    def count(self, counter: str) -> int:
        return sum(queue.statistics()[counter] for queue in self.queues)

    async def close(self) -> None:
        for queue in self.queues:
            self._driver.remove(queue.pollable)
            await until(lambda queue=queue: queue.quiesce(0))
            queue.close()
        for attached in list(self.served._nexuses.values()):
            self.served.detach(attached)
        if self.disk.may_block:
            await in_daemon_thread(self.served.close)
        else:
            self.served.close()
        self.machine.close()


@asynccontextmanager
async def serving(disk: Disk) -> AsyncIterator[Served]:
    served = Served(disk)
    try:
        yield served
    finally:
        await served.close()
    assert not disk.is_open


def run(
    scenario: Callable[[Served, RingGuest, RingGuest], Coroutine[Any, Any, None]],
    *,
    may_block: bool = False,
    depth: int = 1,
) -> None:
    async def main() -> None:
        disk = Disk()
        disk.may_block = may_block
        disk.depth = depth
        async with asyncio.timeout(2 * PATIENCE), serving(disk) as served:
            await scenario(served, *served.guests)

    asyncio.run(main())


def code_of(response: Response) -> tuple[int, int, int]:
    assert response.result == Result(Status.CHECK_CONDITION)
    sense = Sense.parse(response.sense)
    assert sense
    return sense.key, sense.asc, sense.ascq


ATTENTION = (SenseKey.UNIT_ATTENTION, *DEVICE_RESET)


def test_read_and_write_pass_the_unit_by() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        assert (await first.run(INQUIRY, room=36)).residual == 36 - len("guest 1 (0,)")
        assert (await first.run(write_10(3), b"x" * BLOCK)).word == 0
        answer = await second.run(read_10(3), room=BLOCK)
        assert (answer.word, answer.data) == (0, b"x" * BLOCK)
        assert served.disk.calls == ["attach guest 1", "attach guest 2"]
        assert served.count("rd_req") == served.count("wr_req") == 1

    run(scenario)


def test_nothing_is_permitted_that_the_unit_forbids() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        served.disk.go.set()
        assert (await first.run(b"\xc0\1\0\0\0\0")).word == 0  # from now on read-only
        assert (await second.run(write_10(3), b"x" * BLOCK)).word == 0
        assert (await second.run(read_10(3), room=BLOCK)).word == 0
        assert served.disk.calls[2:] == ["wait", "write"]

    run(scenario)


def test_a_unit_attention_is_told_before_direct_access_goes_on() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        assert (await first.run(b"", act=RESET)).word == TASK_MANAGEMENT_SUCCESS
        for guest in (first, second):
            assert code_of(await guest.run(read_10(0), room=BLOCK)) == ATTENTION
            assert (await guest.run(read_10(0), room=BLOCK)).word == 0
        assert served.count("rd_req") == 2
        assert served.disk.calls[2:] == ["reset"]

    run(scenario)


def test_a_command_that_needs_the_unit_for_itself() -> None:
    """What comes while it is carried out follows it, though it could be direct at other times."""

    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        alone = first.put(WAIT, room=16)
        await until(lambda: "wait" in served.disk.calls)
        reading = second.put(read_10(0), room=BLOCK)
        await until(lambda: served.queues[1].statistics()["emulated"] == 1)
        served.disk.go.set()
        assert (await first.answer(alone)).word == 0
        assert (await second.answer(reading)).word == 0
        assert served.disk.calls[2:] == ["wait", "read"]
        assert (await second.run(read_10(0), room=BLOCK)).word == 0
        assert served.count("rd_req") == 1

    run(scenario, may_block=True)


def test_a_unit_that_may_block_has_a_thread() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        served.disk.go.set()
        assert (await first.run(WAIT, room=6)).data == b"<Disk>"
        assert sum(thread.name == "<Disk>" for thread in threading.enumerate()) == 1

    run(scenario, may_block=True)


def test_commands_are_carried_out_in_turn() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        held = first.put(HOLD, room=4)
        await until(lambda: served.disk.held)
        later = second.put(INQUIRY, room=36)
        await until(lambda: served.count("emulated") == 2)
        assert not second.take()
        _, done = served.disk.held.pop()
        await in_daemon_thread(lambda: done(Answer(data=b"late")))
        assert (await first.answer(held)).data == b"late"
        assert (await second.answer(later)).word == 0

    run(scenario)


def test_no_answer_waits_for_a_command_that_may_wait_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        queue = served.queues[0]
        answered: list[int] = []

        def ready(command: Command) -> None:
            lib.pv_scsiback_pump(queue.pointer, 16, 0)
            answered.append(queue.statistics()["responses"])
            assert not lib.pv_scsiback_arm(queue.pointer)  # as it was

        monkeypatch.setattr(served.disk, "test_unit_ready", ready)
        held = first.put(HOLD, room=4)
        await until(lambda: served.disk.held)
        asked = [first.put(INQUIRY, room=36), first.put(READY_HERE), first.put(INQUIRY, room=36)]
        await until(lambda: served.count("emulated") == 4)
        served.disk.held.pop()[1](Answer())
        for rqid in (held, *asked):
            assert (await first.answer(rqid)).word == 0
        assert answered == [2]

    run(scenario)


def test_what_is_permitted_changes_with_what_is_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        asked: list[str] = []
        permitted = (True, True)

        def direct_access(nexus: Nexus) -> tuple[bool, bool]:
            asked.append(nexus.name)
            return permitted

        assert (await first.run(INQUIRY, room=36)).word == 0
        monkeypatch.setattr(served.disk, "direct_access", direct_access)
        assert (await first.run(INQUIRY, room=36)).word == 0
        assert not asked
        assert code_of(await first.run(b"\x12\0\0\0\x24\x80", room=36))[0] == 5  # a reserved bit
        assert asked == ["guest 1", "guest 2"]
        permitted = (False, False)
        assert (await first.run(READY_HERE)).word == 0
        assert (await second.run(read_10(0), room=BLOCK)).word == 0
        assert served.count("rd_req") == 0
        assert served.disk.calls[2:] == ["ready", "read"]

    run(scenario)


def test_as_many_at_the_same_time_as_the_unit_can() -> None:
    """They end in any order, and another begins when one has ended."""

    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        rqids = []
        for number, guest in enumerate((first, second)):
            rqids.append(guest.put(HOLD, room=4))
            await until(lambda number=number: len(served.disk.held) == number + 1)
        rqids.append(first.put(HOLD, room=4))
        await until(lambda: served.count("emulated") == 3)
        assert len(served.disk.held) == 2
        served.disk.held[1][1](Answer(data=b"late"))
        assert (await second.answer(rqids[1])).data == b"late"
        await until(lambda: len(served.disk.held) == 3)
        for number in (2, 0):
            served.disk.held[number][1](Answer(data=b"%04d" % number))
            assert (await first.answer(rqids[number])).data == b"%04d" % number

    run(scenario, depth=2)


def test_what_needs_the_unit_for_itself_joins_nothing() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        served.disk.go.set()
        held = first.put(HOLD)
        await until(lambda: served.disk.held)
        alone = second.put(WAIT, room=6)
        later = first.put(HOLD)
        await until(lambda: served.count("emulated") == 3)
        assert "wait" not in served.disk.calls
        served.disk.held.pop()[1](Answer())
        assert (await first.answer(held)).word == 0
        assert (await second.answer(alone)).word == 0
        await until(lambda: served.disk.held)
        served.disk.held.pop()[1](Answer())
        assert (await first.answer(later)).word == 0

    run(scenario, depth=4)


def test_a_reset_joins_nothing() -> None:
    """It waits for what is past aborting."""

    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        rqids = [first.put(HOLD_FAST), first.put(HOLD)]
        await until(lambda: len(served.disk.held) == 2)
        resetting = second.put(b"", act=RESET)
        assert (await first.answer(rqids[1])).result.host == HostByte.RESET
        assert "reset" not in served.disk.calls
        served.disk.held[0][1](Answer())
        assert (await first.answer(rqids[0])).word == 0
        assert (await second.answer(resetting)).word == TASK_MANAGEMENT_SUCCESS
        assert served.disk.calls[-1] == "reset"

    run(scenario, depth=4)


def test_a_unit_on_a_thread_has_a_loop_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        def start(command: Command, done: Done) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(
                0.001, lambda: done(Answer(data=threading.current_thread().name.encode()))
            )

        monkeypatch.setattr(served.disk, "start", start)
        assert (await first.run(HOLD, room=6)).data == b"<Disk>"

    run(scenario, may_block=True)


def test_a_defect_is_a_hardware_error_of_one_command() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        assert code_of(await first.run(FAIL)) == (SenseKey.HARDWARE_ERROR, 0x44, 0)
        assert (await first.run(INQUIRY, room=36)).word == 0

    run(scenario)


def test_abort_of_what_waits() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        held = first.put(HOLD)
        await until(lambda: served.disk.held)
        waiting = first.put(WAIT)
        aborting = first.put(b"", act=ABORT, ref_rqid=waiting)
        answer = await first.answer(waiting)
        assert answer.result == Result(Status.TASK_ABORTED, HostByte.ABORT)
        assert (await first.answer(aborting)).word == TASK_MANAGEMENT_SUCCESS
        served.disk.held.pop()[1](Answer())
        assert (await first.answer(held)).word == 0
        assert "wait" not in served.disk.calls
        assert (await first.run(read_10(0), room=BLOCK)).word == 0  # direct again
        assert served.count("rd_req") == 1

    run(scenario)


def test_abort_of_what_can_be_aborted() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        held = first.put(HOLD)
        await until(lambda: served.disk.held)
        aborting = first.put(b"", act=ABORT, ref_rqid=held)
        assert (await first.answer(held)).result.host == HostByte.ABORT
        assert (await first.answer(aborting)).word == TASK_MANAGEMENT_SUCCESS
        assert served.disk.calls[-1] == "abort"

    run(scenario)


def test_abort_of_what_is_past_aborting() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        held = first.put(HOLD_FAST)
        await until(lambda: served.disk.held)
        aborting = first.put(b"", act=ABORT, ref_rqid=held)
        await until(lambda: "abort" in served.disk.calls)
        served.disk.held.pop()[1](Answer())
        assert (await first.answer(held)).word == 0
        assert (await first.answer(aborting)).word == TASK_MANAGEMENT_SUCCESS
        assert served.disk.calls.count("abort") == 1

    run(scenario)


def test_abort_of_nothing() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        answer = await first.run(b"", act=ABORT, ref_rqid=77)
        assert answer.word == TASK_MANAGEMENT_FAILURE

    run(scenario)


def test_reset_ends_what_all_initiators_have() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        held = first.put(HOLD)
        await until(lambda: served.disk.held)
        waiting = second.put(WAIT)
        await until(lambda: served.count("emulated") == 2)
        assert (await second.run(b"", act=RESET)).word == TASK_MANAGEMENT_SUCCESS
        for guest, rqid in ((first, held), (second, waiting)):
            answer = await guest.answer(rqid)
            assert answer.result == Result(Status.TASK_ABORTED, HostByte.RESET)
            assert code_of(await guest.run(READY)) == ATTENTION

    run(scenario)


def test_a_reset_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        def reset(nexus: Nexus) -> None:
            raise OSError("broken")

        monkeypatch.setattr(served.disk, "reset", reset)
        assert (await first.run(b"", act=RESET)).word == TASK_MANAGEMENT_FAILURE
        assert (await first.run(READY)).word == 0

    run(scenario)


def test_an_initiator_that_is_gone() -> None:
    async def scenario(served: Served, first: RingGuest, second: RingGuest) -> None:
        served.queues[1].set_luns([])
        await until(lambda: not served.nexus.is_used)
        served.served.detach(served.nexus)
        assert (await second.run(READY)).result.host == HostByte.NO_CONNECT
        await until(lambda: served.disk.calls[-1] == "detach guest 2")
        assert (await first.run(INQUIRY, room=36)).word == 0

    run(scenario)
