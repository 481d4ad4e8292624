"""A unit that is passed through: sessions that are lost, and what is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.passthrough.path import NO_SUCH_LUN, OpenSession
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.records import ROOM
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.testing.scsi.byte_unit import ByteUnit
from pvdrivers.testing.scsi.unit_session import (
    GOOD,
    HANGS,
    LOST_AFTER,
    LOST_BEFORE,
    UnitSession,
)
from tests.until import until

from .conftest import PATIENCE, Initiator

BLOCK = 512
NEXUS_LOSS, RESET = "06/29/07", "06/29/03"
UNREACHABLE, UNKNOWN = "02/08/00", "0b/08/00"
READY = bytes(6)


class Device:
    """A logical unit behind a network. `fates` are those of the commands that come, but for TEST
    UNIT READY; then all is well."""

    def __init__(self, unit: LogicalUnit) -> None:
        self.unit = unit
        self.fates: list[str] = []
        self.cdbs: list[bytes] = []
        self.sessions: list[UnitSession] = []
        self.is_there = asyncio.Event()
        self.is_there.set()

    def open_session(self, nexus: Nexus) -> OpenSession:
        async def open_one() -> Session:
            if not self.is_there.is_set():
                raise OSError("the cable is cut")
            self.sessions.append(UnitSession(self.unit, nexus.name, self._fate))
            return self.sessions[-1]

        return open_one

    def _fate(self, command: Command) -> str:
        if command.cdb[0] == 0:
            return GOOD
        self.cdbs.append(command.cdb)
        return self.fates.pop(0) if self.fates else GOOD

    def cut(self) -> None:
        self.is_there.clear()
        for session in self.sessions:
            session.lose()

    def times(self, opcode: int) -> int:
        return sum(cdb[0] == opcode for cdb in self.cdbs)


class Journals:
    """One journal over the lives of a unit."""

    def __init__(self) -> None:
        self.memory = bytearray(journal_size(ROOM))

    def unit(self, device: Device, patience: float = PATIENCE, **policy: Any) -> PassThrough:
        made = PassThrough(
            "device",
            device.open_session,
            Policy(**policy),
            device.unit.device_type,
            patience=patience,
        )
        made.take_up(Journal(self.memory, ROOM))
        return made


def disk() -> Disk:
    return Disk(RamStore(1 << 20), Identity.of("disk"))


Scenario = Callable[[Device, PassThrough, Initiator], Coroutine[Any, Any, None]]


def run(scenario: Scenario, unit: LogicalUnit | None = None, **options: Any) -> None:
    async def main() -> None:
        device = Device(unit or disk())
        passed = Journals().unit(device, **options)
        initiator = Initiator(passed)
        await initiator.hear_attentions()
        device.cdbs.clear()
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await scenario(device, passed, initiator)
        finally:
            passed.close()
            device.unit.close()

    asyncio.run(main())


def write(lba: int, data: bytes) -> tuple[bytes, bytes]:
    return BlockRange(lba, 1).cdb(0x2A), data.ljust(BLOCK)


def read(lba: int) -> bytes:
    return BlockRange(lba, 1).cdb(0x28)


def compare_and_write(lba: int, old: bytes, new: bytes) -> tuple[bytes, bytes]:
    return BlockRange(lba, 1).cdb(0x89), old.ljust(BLOCK, b"\0") + new.ljust(BLOCK, b"\0")


# ---- sessions that are lost ----------------------------------------------------------------


@pytest.mark.parametrize("fate", [LOST_BEFORE, LOST_AFTER])
def test_reads_and_writes_are_sent_again(fate: str) -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.fates = [fate]
        await initiator.good(*write(3, b"kept"))
        assert device.times(0x2A) == 2
        assert await initiator.hear_attentions() == [NEXUS_LOSS]
        device.fates = [fate]
        assert (await initiator.good(read(3), room=BLOCK)).startswith(b"kept")

    run(scenario)


def test_commands_wait_for_a_device_that_comes_back() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.fates = [HANGS, HANGS]
        writing = [initiator.begin(*write(block, b"%d" % block))[1] for block in (1, 2)]
        while device.times(0x2A) < 2:  # noqa: ASYNC110 - the unit's doing
            await asyncio.sleep(0)
        device.cut()
        _, later = initiator.begin(READY)
        device.is_there.set()
        assert [(await answer).status for answer in writing] == [Status.GOOD] * 2
        assert (await later).status == Status.CHECK_CONDITION  # the session that was lost
        for block in (1, 2):
            assert (await initiator.good(read(block), room=BLOCK)).startswith(b"%d" % block)

    run(scenario)


def test_a_device_that_does_not_come_back_in_time() -> None:
    """Then it is not ready; and it is again when it has come."""

    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        await initiator.good(*write(1, b"kept"))
        device.cut()
        assert await initiator.code(read(1), room=BLOCK) == UNREACHABLE
        assert await initiator.code(*compare_and_write(1, b"", b"")) == UNREACHABLE
        assert device.times(0x89) == 0
        device.is_there.set()
        while (code := await initiator.code(READY)) == UNREACHABLE:  # noqa: ASYNC110 - the unit's doing
            await asyncio.sleep(0.01)
        assert code == NEXUS_LOSS
        assert (await initiator.good(read(1), room=BLOCK)).startswith(b"kept")

    run(scenario, patience=0)


def test_a_target_that_starts_has_no_luns_at_first() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        there, device.unit = device.unit, NoLun()
        device.cut()
        _, writing = initiator.begin(*write(1, b"kept"))
        device.is_there.set()
        while len(device.sessions) < 3:  # noqa: ASYNC110 - the unit's doing
            await asyncio.sleep(0.001)
        device.unit = there
        assert (await writing).sense[2] & 0x0F == SenseKey.UNIT_ATTENTION
        await initiator.hear_attentions()
        await initiator.good(*write(1, b"kept"))

    run(scenario)


class NoLun(ByteUnit):
    """What a target answers for a LUN that it has not."""

    def execute(self, command: Command) -> Answer:
        sense = Sense(SenseKey.ILLEGAL_REQUEST, *NO_SUCH_LUN).fixed()
        return Answer(Status.CHECK_CONDITION, sense=sense)


def test_a_defect_is_tried_again() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        there, device.unit = device.unit, cast(LogicalUnit, None)  # no session can be made of it
        device.cut()
        _, reading = initiator.begin(read(1), room=BLOCK)
        device.is_there.set()
        await asyncio.sleep(0.01)
        device.unit = there
        assert (await reading).status == Status.CHECK_CONDITION
        assert NEXUS_LOSS not in await initiator.hear_attentions()  # it was told by that
        await initiator.good(read(1), room=BLOCK)

    run(scenario)


def test_an_initiator_is_told_what_the_device_tells_it() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        assert await initiator.code("12 01 ff 00 ff 00", room=255) == "05/24/00"
        device.unit.reset(Nexus("another"))
        assert await initiator.hear_attentions() == [RESET]

    run(scenario)


# ---- what is done once ---------------------------------------------------------------------


@pytest.mark.parametrize(("fate", "times"), [(LOST_BEFORE, 0), (LOST_AFTER, 1)])
def test_compare_and_write_is_never_sent_twice(fate: str, times: int) -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.fates = [fate]
        assert await initiator.code(*compare_and_write(5, b"", b"new")) == UNKNOWN
        assert device.times(0x89) == 1
        assert await initiator.hear_attentions() == [NEXUS_LOSS]
        written = (await initiator.good(read(5), room=BLOCK)).rstrip(b"\0")
        assert written == (b"new" if times else b"")

    run(scenario)


def test_a_command_that_was_answered_before_a_kill_is_answered_again() -> None:
    async def main() -> None:
        journals, device = Journals(), Device(disk())
        identity = b"1" * 16
        for _ in range(2):
            unit = journals.unit(device)
            initiator = Initiator(unit)
            await initiator.hear_attentions()
            command = compare_and_write(5, b"", b"new")
            assert (await initiator.run(*command, identity=identity)).status == Status.GOOD
            unit.close()
        assert device.times(0x89) == 1

    asyncio.run(main())


@pytest.mark.parametrize("has_come", [False, True])
def test_a_command_that_was_in_flight_at_a_kill(has_come: bool) -> None:
    """Nobody knows whether it was carried out, so it is not sent again."""

    async def main() -> None:
        journals, device = Journals(), Device(disk())
        identity = b"1" * 16
        unit = journals.unit(device)
        initiator = Initiator(unit)
        await initiator.hear_attentions()
        device.fates = [HANGS]
        initiator.begin(*compare_and_write(5, b"", b"new"), identity=identity)
        await until(lambda: device.times(0x89))
        killed = bytearray(journals.memory)
        unit.close()
        journals.memory = killed
        unit = journals.unit(device)
        initiator = Initiator(unit)
        told = await initiator.code(*compare_and_write(5, b"", b"new"), identity=identity)
        assert told == UNKNOWN
        assert device.times(0x89) == 1
        assert await initiator.hear_attentions() == [NEXUS_LOSS]
        unit.close()

    asyncio.run(main())


# ---- tapes ---------------------------------------------------------------------------------


def tape_write(data: bytes) -> tuple[bytes, bytes]:
    return b"\x0a\0" + len(data).to_bytes(3, "big") + b"\0", data


def tape_read(length: int) -> bytes:
    return b"\x08\0" + length.to_bytes(3, "big") + b"\0"


REWIND, MARK = "01 00 00 00 00 00", "10 00 00 00 01 00"


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    (tmp_path / "tape.tap").touch()
    return Tape(Identity.of("tape"), tmp_path / "tape.tap")


@pytest.mark.parametrize("fate", [LOST_BEFORE, LOST_AFTER])
@pytest.mark.parametrize("again", [False, True])
def test_a_block_of_a_tape_is_written_once(tape: Tape, fate: str, again: bool) -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        for number in range(5):
            if number == 3:
                device.fates = [fate] * (1 + again)
            await initiator.good(*tape_write(b"block %d" % number))
            if number == 3:
                assert NEXUS_LOSS in await initiator.hear_attentions()
        device.fates = [fate]
        await initiator.good(MARK)
        await initiator.hear_attentions()
        await initiator.good(REWIND)
        for number in range(5):
            if number == 1:
                device.fates = [fate]
            assert await initiator.good(tape_read(7), room=7) == b"block %d" % number
            if number == 1:
                await initiator.hear_attentions()
        assert await initiator.code(tape_read(7), room=7) == "00/00/01"  # the filemark
        assert await initiator.code(tape_read(7), room=7) == "08/00/05"  # and nothing behind

    run(scenario, tape)


def test_a_stream_of_blocks_asks_for_the_position_once(tape: Tape) -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        for _ in range(20):
            await initiator.good(*tape_write(b"block"))
        assert device.times(0x34) == 1
        assert len(device.cdbs) == 21

    run(scenario, tape)


def test_a_tape_that_was_moved_meanwhile(tape: Tape) -> None:
    """What has become of a block cannot be told any more, and it is not written elsewhere."""

    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        for number in range(3):
            await initiator.good(*tape_write(b"block %d" % number))
        device.fates = [HANGS]
        _, writing = initiator.begin(*tape_write(b"block 3"))
        while device.fates:  # noqa: ASYNC110 - the unit's doing
            await asyncio.sleep(0)
        device.unit.start(
            Command(device.sessions[-1]._nexus, bytes.fromhex(REWIND)), lambda _: None
        )
        device.sessions[-1].lose()
        sense = Sense.parse((await writing).sense)
        assert sense
        assert sense.key == SenseKey.ABORTED_COMMAND
        assert device.times(0x0A) == 4
        await initiator.hear_attentions()
        await initiator.good(REWIND)
        for number in range(3):
            assert await initiator.good(tape_read(7), room=7) == b"block %d" % number

    run(scenario, tape)


def test_a_write_that_has_waited_is_not_sent_before_the_loss_is_told(tape: Tape) -> None:
    """The tape may stand elsewhere then."""

    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.cut()
        _, writing = initiator.begin(*tape_write(b"block"))
        device.is_there.set()
        assert (await writing).status == Status.CHECK_CONDITION
        assert device.times(0x0A) == 0
        await initiator.good(*tape_write(b"block"))

    run(scenario, tape)


FATES = st.sampled_from([GOOD, GOOD, GOOD, LOST_BEFORE, LOST_AFTER])


@settings(max_examples=60)
@given(st.data())
def test_over_kills_and_lost_sessions_a_tape_has_each_block_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A kill comes after the command was carried out, or before, and the ring's in-flight log gives
    it to the successor again. Reading back is disturbed in the same way."""
    cartridge = tmp_path_factory.mktemp("tape") / "tape.tap"
    cartridge.touch()
    blocks = [
        bytes([number]) * data.draw(st.sampled_from([7, 200]), label="length")
        for number in range(data.draw(st.integers(1, 8)))
    ]

    async def main() -> None:
        journals, device = Journals(), Device(Tape(Identity.of("tape"), cartridge))
        unit = journals.unit(device)
        initiator = Initiator(unit)
        await initiator.hear_attentions()

        async def carry_out(cdb: bytes, sent: bytes = b"", room: int = 0) -> bytes:
            nonlocal unit, initiator
            identity = next(identities)
            for _ in range(data.draw(st.integers(0, 2))):
                has_come = data.draw(st.booleans())
                if has_come:
                    device.fates = data.draw(st.lists(FATES, max_size=3))
                    await initiator.run(cdb, sent, room, identity)  # nobody is told
                else:
                    device.fates = [HANGS]
                    initiator.begin(cdb, sent, room, identity)
                    for _ in range(20):
                        await asyncio.sleep(0)
                device.fates.clear()
                memory = bytearray(journals.memory)
                unit.close()
                for session in device.sessions:
                    session.close()
                await asyncio.sleep(0)
                journals.memory = memory
                unit = journals.unit(device)
                initiator = Initiator(unit)
            device.fates = data.draw(st.lists(FATES, max_size=3))
            while True:
                answer = await initiator.run(cdb, sent, room, identity)
                if answer.status == Status.GOOD:
                    break
                sense = Sense.parse(answer.sense)
                assert sense
                assert sense.key == SenseKey.UNIT_ATTENTION  # of the loss, and not carried out
                identity = next(identities)  # the guest sends it again
            device.fates.clear()
            return bytes(answer.data)

        identities = (number.to_bytes(16, "big") for number in count(1))
        for block in blocks:
            await carry_out(*tape_write(block))
        await initiator.hear_attentions()
        await initiator.good(REWIND)
        for block in blocks:
            assert await carry_out(tape_read(len(block)), room=len(block)) == block
        await initiator.hear_attentions()
        assert await initiator.code(tape_read(7), room=7) == "08/00/05"
        unit.close()
        device.unit.close()

    asyncio.run(main())


# ---- task management -----------------------------------------------------------------------


def test_abort_of_a_command_that_waits_for_a_session() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.cut()
        command, answer = initiator.begin(*compare_and_write(1, b"", b"new"))
        await asyncio.sleep(0)
        assert unit.abort(command)
        device.is_there.set()
        await initiator.hear_attentions()
        assert not answer.done()
        assert device.times(0x89) == 0

    run(scenario)


def test_abort_of_a_command_that_is_with_the_device() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        device.fates = [HANGS]
        command, answer = initiator.begin(*write(1, b"never"))
        await until(lambda: device.times(0x2A))
        assert not unit.abort(command)
        aborted = await answer
        assert (aborted.status, aborted.host) == (Status.TASK_ABORTED, HostByte.ABORT)

    run(scenario)


def test_a_reset_reaches_the_device() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        unit.reset(initiator.nexus)
        assert await initiator.hear_attentions() == [RESET]
        device.cut()
        with pytest.raises(OSError, match="there is no session"):
            unit.reset(initiator.nexus)

    run(scenario)


# ---- who sees what -------------------------------------------------------------------------


def test_reservations_are_the_guests_own() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        second = Initiator(unit, "xen-other-0")
        await second.hear_attentions()
        await initiator.good("16 00 00 00 00 00")
        assert (await second.run(read(0), room=BLOCK)).status == Status.RESERVATION_CONFLICT
        await initiator.good(read(0), room=BLOCK)
        unit.detach(initiator.nexus)  # it is gone, and so is what it held
        await second.good(read(0), room=BLOCK)
        unit.detach(second.nexus)

    run(scenario)


def test_report_luns_has_the_guests_luns_alone() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        initiator.nexus.luns = (2, 7)
        listed = await initiator.good("a0 00 00 00 00 00 00 00 ff 00 00 00", room=255)
        assert listed == bytes((0, 0, 0, 16, *bytes(4), 0, 2, *bytes(6), 0, 7, *bytes(6)))
        assert device.times(0xA0) == 0

    run(scenario)


def test_a_read_only_unit() -> None:
    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        assert await initiator.code(*write(1, b"never")) == "07/27/00"
        assert (await initiator.good("1a 00 3f 00 ff 00", room=255))[2] & 0x80
        assert await initiator.good(read(1), room=BLOCK) == bytes(BLOCK)
        assert device.times(0x2A) == 0

    run(scenario, read_only=True)


def test_the_direction_follows_from_the_command() -> None:
    """A ring may leave it open: then there are both data and room."""

    async def scenario(device: Device, unit: PassThrough, initiator: Initiator) -> None:
        cdb, data = write(1, b"kept")
        await initiator.good(cdb, data, room=BLOCK)
        assert (await initiator.good(read(1), bytes(BLOCK), room=BLOCK)).startswith(b"kept")

    run(scenario)


def test_a_device_that_is_not_there_at_the_start() -> None:
    async def main() -> None:
        device, journals = Device(disk()), Journals()
        missing = OSError("device: the target is not reached: no route to host")

        def unit() -> PassThrough:
            return PassThrough("device", device.open_session, Policy(), None, missing=missing)

        with pytest.raises(OSError, match="the target is not reached"):
            unit().take_up(Journal(journals.memory, ROOM))
        journals.unit(device).close()  # it was there once
        successor = unit()
        successor.take_up(Journal(journals.memory, ROOM))
        assert successor.device_type == 0
        initiator = Initiator(successor)
        await initiator.hear_attentions()
        await initiator.good(read(0), room=BLOCK)
        successor.close()
        device.unit.close()

    asyncio.run(main())
