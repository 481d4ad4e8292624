"""Commands that the data plane carries out: they go over a ring without Python. The backend behind
it holds back what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from pvdrivers.scsi.result import Status
from pvdrivers.sim import Machine
from pvdrivers.testing.scsi.byte_unit import SENSE, ByteUnit
from pvdrivers.testing.scsi.emulated import Behaviour, EmulatedBackend
from pvdrivers.testing.scsi.pair import ScsiPair
from pvdrivers.tools.pvbridge.guests import Guest
from pvdrivers.tools.pvbridge.iscsi import session as sessions
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.pdu import IMMEDIATE, NO_TAG, Opcode, Pdu
from pvdrivers.tools.pvbridge.iscsi.server import serve
from pvdrivers.xenbus.states import XenbusState

from .raw import BLOCK, TARGET, WRITE, Raw, raw, read10, write10

TEST_UNIT_READY = bytes(6)
INQUIRY = b"\x12\0\0\0\x24\0"
CONTENT = bytes(range(256)) * 2
ABORT_TASK, ABORT_TASK_SET, LOGICAL_UNIT_RESET = 1, 2, 5
COMPLETE, NO_TASK = 0, 1


@dataclass
class Bench:
    """An initiator that has logged in, and what is behind it."""

    pair: ScsiPair
    portal: str
    initiator: Raw
    sessions: list[sessions.Session]

    @property
    def queue(self) -> Any:
        """The backend's."""
        (queue,) = self.pair.backend.queues
        return queue

    @property
    def unit(self) -> ByteUnit:
        """LUN 0."""
        unit = self.pair.units["first"]
        assert isinstance(unit, ByteUnit)
        return unit

    def hold_nothing(self) -> None:
        """From now on."""
        assert isinstance(self.pair.backend, EmulatedBackend)
        self.pair.backend.behaviour.holds = lambda cdb: False

    @property
    def carried(self) -> int:
        """Commands that the data plane has under way."""
        return sum(int(session.cdata.nr_carried) for session in self.sessions)

    async def hold(self, command: Pdu) -> None:
        """Sends one that the backend takes and does not carry out."""
        before = len(self.queue.held)
        self.initiator.send(command)
        await self.pair.wait(lambda: len(self.queue.held) > before)


class PairGuests:
    """The one guest of a pair, whoever comes."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    async def join(self, name: str) -> Guest:
        return self._guest

    async def leave(self, name: str) -> None:
        pass


def run(
    scenario: Callable[[Bench], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    holds: Callable[[bytes], bool] = lambda cdb: False,
    **keys: str,
) -> None:
    """With two units of `ByteUnit`, LUNs 0 and 1. `holds`: commands that the backend holds back."""
    made: list[sessions.Session] = []

    class Known(sessions.Session):
        def __post_init__(self) -> None:
            super().__post_init__()
            made.append(self)

    monkeypatch.setattr(sessions, "Session", Known)

    async def main() -> None:
        units = {"first": ByteUnit(), "second": ByteUnit()}
        backend = partial(EmulatedBackend, behaviour=Behaviour(holds=holds))
        pair = ScsiPair(dom0.hypervisor, domain.hypervisor, units, backend=backend)
        async with asyncio.timeout(60), pair:
            guests = PairGuests(Guest(domain, pair.frontend, {0: BLOCK, 1: BLOCK}))
            async with serve(guests, TargetInfo(TARGET), port=0) as port:
                portal = f"127.0.0.1:{port}"
                async with raw(portal) as initiator:
                    await initiator.log_in(**keys)
                    await scenario(Bench(pair, portal, initiator, made))
            await pair.wait(lambda: not any(q.outstanding for q in pair.frontend.queues))
            assert not pair.frontend.on_handed_out

    with Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        domain = machine.create_domain()
        asyncio.run(main())


def holding_reads(cdb: bytes) -> bool:
    return cdb[0] == 0x28


# ---- what it carries out ---------------------------------------------------------------------


def test_data_go_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        write = initiator.command(write10(1024, 1), BLOCK, WRITE)
        write.data = CONTENT
        answer = await initiator.ask(write)
        assert (answer.opcode, answer.header[3]) == (Opcode.SCSI_RESPONSE, Status.GOOD)
        assert bench.unit.memory[1024:][:BLOCK] == CONTENT
        read = initiator.command(read10(1024, 1), BLOCK)
        answer = await initiator.ask(read)
        assert (answer.opcode, answer.tag, answer.data) == (0x25, read.tag, CONTENT)
        other = await initiator.ask(initiator.command(read10(1024, 1), BLOCK, lun=1))
        assert other.data == bytes(BLOCK)
        answer = await initiator.ask(initiator.command(TEST_UNIT_READY, 0, 0x80))
        assert (answer.opcode, answer.header[3]) == (Opcode.SCSI_RESPONSE, Status.GOOD)

    run(scenario, monkeypatch)


def test_it_does_not_wait_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain read is the data plane's, and any other command is Python's."""

    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        await bench.hold(initiator.command(read10(0, 1), BLOCK))
        assert bench.carried == 1
        await bench.hold(initiator.command(INQUIRY, 36))
        assert bench.carried == 1
        await bench.hold(initiator.command(read10(0, 1), 2 * BLOCK))  # more than it moves
        assert bench.carried == 1
        bench.queue.release()
        answers = [await initiator.receive() for _ in range(3)]
        assert [answer.header[3] for answer in answers] == [0, Status.CHECK_CONDITION, 0]

    run(scenario, monkeypatch, holds=lambda cdb: True)


def test_numbers_go_on_whoever_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        commands = [
            initiator.command(INQUIRY if number % 3 == 0 else read10(number, 1), BLOCK)
            for number in range(12)
        ]
        initiator.send(*commands)
        answers = [await initiator.receive() for _ in commands]
        first = answers[0].cmd_sn  # at the same place: StatSN
        assert [answer.cmd_sn for answer in answers] == [first + n for n in range(12)]
        assert {answer.tag for answer in answers} == {command.tag for command in commands}
        expected, last = (int.from_bytes(answers[-1].header[at:][:4], "big") for at in (28, 32))
        assert (expected, last) == (initiator.number, initiator.number + 63)

    run(scenario, monkeypatch)


def test_commands_begin_in_the_order_of_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one that waits for its turn is Python's, and the one before it is not."""

    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        commands = [initiator.command(read10(number, 1), BLOCK) for number in range(6)]
        initiator.send(*(commands[index] for index in (2, 0, 1, 5, 3, 4)))
        for _ in commands:
            await initiator.receive()
        assert [cdb[5] for cdb in bench.unit.cdbs] == [*range(6)]

    run(scenario, monkeypatch)


def test_sense_and_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        answer = await initiator.ask(initiator.command(read10((1 << 16) - 100, 1), BLOCK))
        assert (answer.flags & 0x02, answer.residual, len(answer.data)) == (2, BLOCK - 100, 100)
        answer = await initiator.ask(initiator.command(b"\x35" + bytes(9), 0, 0x80))
        assert answer.header[3] == Status.CHECK_CONDITION
        assert answer.data[2:] == SENSE

    run(scenario, monkeypatch)


async def fill_the_output(bench: Bench) -> list[Pdu]:
    """Reads whose answers are more than sockets and the initiator take at once; they are there."""
    initiator = bench.initiator
    bench.unit.memory[:] = bytes(range(256)) * 256
    commands = [initiator.command(read10(number, 100), 100 * BLOCK) for number in range(200)]
    initiator.send(*commands)
    await bench.pair.wait(lambda: len(bench.unit.cdbs) == len(commands) and not bench.carried)
    return commands


async def expect_data(bench: Bench, commands: list[Pdu]) -> None:
    for command in commands:
        answer = await bench.initiator.receive()
        start = command.header[37]
        content = bench.unit.memory[start:][: 100 * BLOCK]
        assert (answer.tag, answer.data) == (command.tag, content)


def test_an_initiator_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers wait, and it is heard again when it has read them."""

    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        commands = await fill_the_output(bench)
        later = [initiator.command(cdb, BLOCK) for cdb in (read10(0, 1), INQUIRY)]
        initiator.send(*later)
        await expect_data(bench, commands)
        assert {(await initiator.receive()).tag for _ in later} == {pdu.tag for pdu in later}

    run(scenario, monkeypatch, MaxRecvDataSegmentLength="65536")


# ---- tags ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cdb", [read10(0, 1), INQUIRY], ids=["carried out in C", "in Python"])
def test_a_tag_in_use_is_rejected(monkeypatch: pytest.MonkeyPatch, cdb: bytes) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        command = initiator.command(cdb, BLOCK)
        await bench.hold(command)
        for other in (read10(0, 1), INQUIRY):
            again = initiator.command(other, BLOCK)
            again.header[0] |= IMMEDIATE
            again.tag = command.tag
            answer = await initiator.ask(again)
            assert (answer.opcode, answer.header[2]) == (Opcode.REJECT, 7)
        initiator.number -= 2
        bench.queue.release()
        assert (await initiator.receive()).tag == command.tag
        bench.hold_nothing()
        again = initiator.command(read10(0, 1), BLOCK)
        again.tag = command.tag
        assert (await initiator.ask(again)).opcode == Opcode.DATA_IN

    run(scenario, monkeypatch, holds=lambda cdb: True)


def test_data_for_a_command_that_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        command = initiator.command(write10(0, 1), BLOCK, WRITE)
        command.data = CONTENT
        await bench.hold(command)
        data = Pdu.of(Opcode.DATA_OUT, command.tag)
        data.transfer_tag, data.data = NO_TAG, CONTENT
        initiator.send(data)
        await initiator.until_closed()

    run(scenario, monkeypatch, holds=lambda cdb: True)


# ---- task management, and ends ---------------------------------------------------------------


@pytest.mark.parametrize("function", [ABORT_TASK, ABORT_TASK_SET])
def test_an_aborted_command_is_not_answered(monkeypatch: pytest.MonkeyPatch, function: int) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        command = initiator.command(read10(0, 1), BLOCK)
        await bench.hold(command)
        answer = await initiator.ask(initiator.management(function, tag=command.tag))
        assert (answer.opcode, answer.header[2]) == (0x22, COMPLETE)
        assert not bench.queue.held
        answer = await initiator.ask(initiator.management(ABORT_TASK, tag=command.tag))
        assert answer.header[2] == NO_TASK
        following = initiator.command(TEST_UNIT_READY, 0, 0x80)
        assert (await initiator.ask(following)).tag == following.tag

    run(scenario, monkeypatch, holds=holding_reads)


def test_an_abort_is_of_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        first, second = (initiator.command(read10(0, 1), BLOCK, lun=lun) for lun in (0, 1))
        await bench.hold(first)
        await bench.hold(second)
        answer = await initiator.ask(initiator.management(ABORT_TASK_SET, lun=0))
        assert answer.header[2] == COMPLETE
        assert bench.carried == 1
        bench.queue.release()
        assert (await initiator.receive()).tag == second.tag

    run(scenario, monkeypatch, holds=holding_reads)


def test_a_reset_ends_the_units_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        command = initiator.command(read10(0, 1), BLOCK)
        await bench.hold(command)
        initiator.send(initiator.management(LOGICAL_UNIT_RESET))
        answer = await initiator.receive()
        if answer.opcode == Opcode.SCSI_RESPONSE:  # the reset has ended it before it was cancelled
            assert (answer.tag, answer.header[3]) == (command.tag, Status.TASK_ABORTED)
            answer = await initiator.receive()
        assert (answer.opcode, answer.header[2]) == (0x22, COMPLETE)
        assert not bench.queue.held
        assert bench.carried == 0

    run(scenario, monkeypatch, holds=holding_reads)


def test_a_connection_that_ends_with_commands_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are aborted, and those of other connections of the session go on."""

    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        tsih = bench.sessions[0].tsih
        async with raw(bench.portal) as second:
            second.number = initiator.number
            await second.log_in(tsih, 1)
            theirs, ours = (initiator.command(read10(0, 1), BLOCK) for _ in range(2))
            second.send(theirs)
            await bench.pair.wait(lambda: len(bench.queue.held) == 1)
            await bench.hold(ours)
            assert bench.carried == 2
        await bench.pair.wait(lambda: len(bench.queue.held) == 1)
        bench.queue.release()
        assert (await initiator.receive()).tag == ours.tag

    run(scenario, monkeypatch, holds=holding_reads, MaxConnections="2")


def test_a_session_that_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.hold(bench.initiator.command(read10(0, 1), BLOCK))
        async with raw(bench.portal) as new:
            await new.log_in()
            await bench.initiator.until_closed()
            assert not bench.queue.held
            answer = await new.ask(new.command(TEST_UNIT_READY, 0, 0x80))
            assert answer.header[3] == Status.GOOD

    run(scenario, monkeypatch, holds=holding_reads)


def test_logout_sends_what_was_answered_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        initiator = bench.initiator
        commands = await fill_the_output(bench)
        logout = Pdu.of(Opcode.LOGOUT, 9)
        logout.cmd_sn = initiator.number
        initiator.send(logout)
        await expect_data(bench, commands)
        answer = await initiator.receive()
        assert (answer.opcode, answer.tag) == (Opcode.LOGOUT_RESPONSE, 9)
        assert await initiator.reader.read() == b""

    run(scenario, monkeypatch, MaxRecvDataSegmentLength="65536")


def test_a_backend_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had taken ends as aborted; what comes later waits for the next one."""

    async def scenario(bench: Bench) -> None:
        initiator, front = bench.initiator, bench.pair.frontend
        taken = initiator.command(read10(0, 1), BLOCK)
        await bench.hold(taken)
        bench.queue.forget()
        bench.hold_nothing()
        front.resume()
        answer = await initiator.receive()
        assert (answer.tag, answer.header[3]) == (taken.tag, Status.TASK_ABORTED)
        following = initiator.command(read10(0, 1), BLOCK)
        assert (await initiator.ask(following)).tag == following.tag
        await front.wait_for(XenbusState.CONNECTED)

    run(scenario, monkeypatch, holds=holding_reads)


def test_a_device_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.hold(bench.initiator.command(read10(0, 1), BLOCK))
        await bench.pair.frontend.abort()
        answer = await bench.initiator.receive()
        assert (answer.opcode, answer.header[3]) == (Opcode.SCSI_RESPONSE, Status.TASK_ABORTED)

    run(scenario, monkeypatch, holds=holding_reads)
