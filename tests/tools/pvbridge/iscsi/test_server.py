"""The target against libiscsi's programs, and against initiators that do not behave."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.operations import operation
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.direct_guests import DirectGuests
from pvdrivers.tools.pvbridge.iscsi.chap import Account
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.pdu import IMMEDIATE, NO_TAG, Opcode, Pdu
from pvdrivers.tools.pvbridge.iscsi.server import serve

from .raw import BLOCK, INITIATOR, TARGET, WRITE, raw, read10, write10

NAME = TARGET


class Memory(EmulatedUnit):
    """Enough of a disk for an initiator to read and write it."""

    device_type = 0

    def __init__(self, blocks: int = 4096) -> None:
        super().__init__()
        self.content = bytearray(blocks * BLOCK)
        self.commands: list[bytes] = []
        self.resets = 0

    def execute(self, command: Command) -> Answer:
        self.commands.append(bytes(command.cdb))
        return super().execute(command)

    def reset(self, nexus: Nexus) -> None:
        self.resets += 1

    @operation(0x00, "TEST UNIT READY", "00 00 00 00 00 07")
    def test_unit_ready(self, command: Command) -> None:
        return None

    @operation(0x12, "INQUIRY", "12 01 ff ff ff 07")
    def inquiry(self, command: Command) -> bytes:
        return bytes([0, 0, 6, 2, 31, 0, 0, 2]) + b"EXAMPLE MEMORY          0001"

    @operation(0x25, "READ CAPACITY(10)", "25 00 ff ff ff ff 00 00 01 07")
    def read_capacity(self, command: Command) -> bytes:
        last = len(self.content) // BLOCK - 1
        return last.to_bytes(4, "big") + BLOCK.to_bytes(4, "big")

    @operation(0x28, "READ(10)", "28 fa ff ff ff ff 3f ff ff 07")
    def read(self, command: Command) -> memoryview:
        start, end = self._range(command.cdb)
        return memoryview(self.content)[start:end]

    @operation(0x2A, "WRITE(10)", "2a fa ff ff ff ff 3f ff ff 07")
    def write(self, command: Command) -> None:
        start, end = self._range(command.cdb)
        self.content[start:end] = command.data_out

    def _range(self, cdb: bytes) -> tuple[int, int]:
        start = int.from_bytes(cdb[2:6], "big") * BLOCK
        return start, start + int.from_bytes(cdb[7:9], "big") * BLOCK

    def __repr__(self) -> str:
        return "<Memory>"


@asynccontextmanager
async def serving(guests: DirectGuests, target: TargetInfo | None = None) -> AsyncIterator[str]:
    """The portal: HOST:PORT."""
    async with serve(guests, target or TargetInfo(NAME), port=0) as port:
        yield f"127.0.0.1:{port}"


async def libiscsi(program: str, *arguments: str) -> tuple[int, str]:
    """Exit status and output of one of its programs."""
    if not shutil.which(program):
        pytest.skip(f"needs {program} (Debian package libiscsi-bin)")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


# ---- libiscsi --------------------------------------------------------------------------------


def test_libiscsi_finds_the_target_and_its_unit() -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal:
            status, listing = await libiscsi("iscsi-ls", f"iscsi://{portal}")
            assert status == 0
            assert listing.strip() == f"Target:{NAME} Portal:{portal},1"
            status, inquiry = await libiscsi("iscsi-inq", f"iscsi://{portal}/{NAME}/0")
            assert status == 0
            assert "Vendor:EXAMPLE" in inquiry
            status, error = await libiscsi("iscsi-inq", f"iscsi://{portal}/{NAME}x/0")
            assert status != 0
            assert "Target not found" in error
        assert guests.left == ["iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("test", "least"),
    [
        ("SCSI.Read10.Simple", 500),  # assertions that have to be made
        ("SCSI.Write10.Simple", 500),
        ("iSCSI.iSCSIcmdsn", 4),
        ("iSCSI.iSCSITMF", 4),
    ],
)
def test_libiscsis_own_tests(test: str, least: int) -> None:
    async def main() -> None:
        async with serving(DirectGuests({0: Memory()})) as portal:
            url = f"iscsi://{portal}/{NAME}/0"
            status, output = await libiscsi("iscsi-test-cu", "-d", "-t", test, url)
            assert status == 0, output
            numbers = re.search(r"asserts +(\d+) +(\d+) +(\d+) +(\d+)", output)
            assert numbers, output
            assert int(numbers[3]) >= least
            assert int(numbers[4]) == 0, output

    asyncio.run(main())


def test_libiscsi_proves_that_it_knows_the_secret() -> None:
    async def main() -> None:
        name = "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq"
        target = TargetInfo(NAME, {name: Account("user", b"twelve bytes")})
        async with serving(DirectGuests({0: Memory()}), target) as portal:
            where = f"{portal}/{NAME}/0"
            status, output = await libiscsi("iscsi-inq", f"iscsi://user%twelve bytes@{where}")
            assert (status, "EXAMPLE" in output) == (0, True)
            for account in ("", "user%twelve bits!@", "other%twelve bytes@"):
                status, output = await libiscsi("iscsi-inq", f"iscsi://{account}{where}")
                assert status != 0
                assert "Authentication" in output

    asyncio.run(main())


# ---- an initiator of our own -----------------------------------------------------------------


def test_data_go_in_pieces_that_were_agreed() -> None:
    async def main() -> None:
        unit = Memory()
        async with serving(DirectGuests({0: unit})) as portal, raw(portal) as initiator:
            sizes = {"MaxBurstLength": "2048", "FirstBurstLength": "512"}
            answer = await initiator.log_in(**sizes, MaxRecvDataSegmentLength="1024")
            assert answer.flags == 0x87
            content = bytes(range(256)) * 20
            command = initiator.command(write10(8, 10), len(content), WRITE)
            command.data = content[:512]
            r2t = await initiator.ask(command)
            asked = []
            while r2t.opcode == Opcode.R2T:
                start, length = r2t.buffer_offset, r2t.residual
                asked.append((start, length))
                data = Pdu.of(Opcode.DATA_OUT, command.tag)
                data.transfer_tag, data.buffer_offset = r2t.transfer_tag, start
                data.data = content[start : start + length]
                r2t = await initiator.ask(data)
            assert asked == [(512, 2048), (2560, 2048), (4608, 512)]
            assert (r2t.opcode, r2t.header[3]) == (Opcode.SCSI_RESPONSE, Status.GOOD)
            assert unit.content[8 * BLOCK :][: len(content)] == content

            initiator.send(initiator.command(read10(8, 10), 5120))
            pieces = [await initiator.receive() for _ in range(5)]
            assert b"".join(piece.data for piece in pieces) == content
            assert [piece.final for piece in pieces] == [False, True, False, True, True]
            assert [piece.flags & 1 for piece in pieces] == [0, 0, 0, 0, 1]  # the status

    asyncio.run(main())


def test_less_data_than_expected_is_an_underflow() -> None:
    async def main() -> None:
        async with serving(DirectGuests({0: Memory()})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            answer = await initiator.ask(initiator.command(read10(0, 1), 1000))
            assert (answer.flags & 0x02, answer.residual) == (0x02, 488)

    asyncio.run(main())


def test_more_data_than_expected_is_an_overflow() -> None:
    async def main() -> None:
        unit = Memory()
        unit.content[:BLOCK] = bytes(range(256)) * 2
        async with serving(DirectGuests({0: unit})) as portal, raw(portal) as initiator:
            await initiator.log_in(MaxRecvDataSegmentLength="8192")
            answer = await initiator.ask(initiator.command(read10(0, 2), 200))
            assert (answer.flags & 0x06, answer.residual) == (0x04, 1024 - 200)
            assert answer.data == bytes(range(200))
            command = initiator.command(write10(8, 2), BLOCK, WRITE)
            command.data = b"b" * BLOCK
            answer = await initiator.ask(command)
            assert (answer.flags & 0x06, answer.residual) == (0x04, BLOCK)
            assert answer.header[3] == Status.GOOD
            assert unit.content[8 * BLOCK : 10 * BLOCK] == b"b" * BLOCK + bytes(BLOCK)

    asyncio.run(main())


def test_commands_are_carried_out_in_the_order_of_their_numbers() -> None:
    async def main() -> None:
        unit = Memory()
        async with serving(DirectGuests({0: unit})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            commands = [initiator.command(read10(block, 1), BLOCK) for block in range(4)]
            for pdu in reversed(commands):
                initiator.send(pdu)
            tags = [(await initiator.receive()).tag for _ in commands]
            assert tags == [pdu.tag for pdu in commands]
            assert [cdb[5] for cdb in unit.commands] == [0, 1, 2, 3]

    asyncio.run(main())


def test_two_connections_of_one_session() -> None:
    async def main() -> None:
        unit = Memory()
        guests = DirectGuests({0: unit})
        async with serving(guests) as portal, raw(portal) as first, raw(portal) as second:
            answer = await first.log_in(MaxConnections="2")
            tsih = int.from_bytes(answer.header[14:16], "big")
            answer = await second.log_in(tsih, 1)
            assert answer.header[36:38] == b"\0\0"
            early, late = first.command(read10(0, 1), BLOCK), first.command(read10(1, 1), BLOCK)
            second.send(late)  # its turn is after the other connection's
            assert (await first.ask(early)).tag == early.tag
            assert (await second.receive()).tag == late.tag
            async with raw(portal) as third:
                refused = await third.log_in(tsih, 2)
                assert refused.header[36:38] == b"\2\6"
            async with raw(portal) as stranger:
                refused = await stranger.log_in(tsih + 1, 0)
                assert refused.header[36:38] == b"\2\x0a"

    asyncio.run(main())


def test_a_session_takes_the_place_of_an_earlier_one() -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal, raw(portal) as old, raw(portal) as new:
            await old.log_in()
            await new.log_in()
            await old.until_closed()
            answer = await new.ask(new.command(read10(0, 1), BLOCK))
            assert answer.header[3] == Status.GOOD
        assert guests.left == [INITIATOR, INITIATOR]

    asyncio.run(main())


def test_an_aborted_task_is_not_answered() -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal, raw(portal) as initiator:
            await initiator.log_in()
            guest = guests.joined[INITIATOR]
            guest.hang = asyncio.Event()
            command = initiator.command(read10(0, 1), BLOCK)
            initiator.send(command)
            abort = initiator.management(1, tag=command.tag)
            answer = await initiator.ask(abort)
            assert (answer.opcode, answer.header[2]) == (Opcode.TASK_MANAGEMENT_RESPONSE, 0)
            assert guest.aborted == 1
            answer = await initiator.ask(abort)
            assert answer.header[2] == 1  # there is no such task any more
            guest.hang = None
            following = initiator.command(read10(1, 1), BLOCK)
            assert (await initiator.ask(following)).tag == following.tag

    asyncio.run(main())


def test_resets_reach_the_unit() -> None:
    async def main() -> None:
        unit = Memory()
        async with serving(DirectGuests({0: unit})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            reset = initiator.management(5)
            assert (await initiator.ask(reset)).header[2] == 0
            assert unit.resets == 1
            reset.lun = 5
            assert (await initiator.ask(reset)).header[2] == 2  # no such LUN
            assert unit.resets == 1

    asyncio.run(main())


def test_a_lun_that_is_not_there() -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory(), 300: Memory()})
        async with serving(guests) as portal, raw(portal) as initiator:
            await initiator.log_in()
            answer = await initiator.ask(initiator.command(read10(0, 1), BLOCK, lun=9))
            sense = Sense.parse(answer.data[2:])
            assert sense is not None
            assert (sense.key, sense.asc, sense.ascq) == (5, 0x25, 0)
            inquiry = initiator.command(b"\x12\0\0\0\x24\0", 36, lun=9)
            assert (await initiator.ask(inquiry)).data[0] == 0x7F
            luns = initiator.command(b"\xa0" + bytes(8) + b"\x80\0\0", 64, lun=9)
            answer = await initiator.ask(luns)
            assert answer.data == (
                bytes([0, 0, 0, 16]) + bytes(4) + bytes(8) + b"\x41\x2c" + bytes(6)
            )

    asyncio.run(main())


def test_more_data_than_a_guest_can_move_are_refused() -> None:
    async def main() -> None:
        async with serving(DirectGuests({0: Memory()})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            answer = await initiator.ask(initiator.command(write10(0, 1), 1 << 30, WRITE))
            assert answer.header[3] == Status.CHECK_CONDITION
            sense = Sense.parse(answer.data[2:])
            assert sense is not None
            assert (sense.key, sense.asc) == (5, 0x24)

    asyncio.run(main())


@pytest.mark.parametrize("opcode", [Opcode.SNACK, 0x1C, Opcode.NOP_IN])
def test_what_is_no_request_is_rejected(opcode: int) -> None:
    async def main() -> None:
        async with serving(DirectGuests({0: Memory()})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            pdu = Pdu.of(Opcode.NOP_OUT, 3)
            pdu.header[0] = opcode
            answer = await initiator.ask(pdu)
            assert (answer.opcode, answer.header[2]) == (Opcode.REJECT, 5)
            assert answer.data == bytes(pdu.header)

    asyncio.run(main())


def test_a_tag_in_use_is_rejected() -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal, raw(portal) as initiator:
            await initiator.log_in()
            guests.joined[INITIATOR].hang = asyncio.Event()
            command = initiator.command(read10(0, 1), BLOCK)
            initiator.send(command)
            command.cmd_sn += 1
            answer = await initiator.ask(command)
            assert (answer.opcode, answer.header[2]) == (Opcode.REJECT, 7)

    asyncio.run(main())


def expected_next(answer: Pdu) -> int:
    """ExpCmdSN."""
    return int.from_bytes(answer.header[28:32], "big")


def test_the_number_of_a_rejected_request_is_the_next_ones() -> None:
    """RFC 7143, section 7.3: the target has not received it, and the initiator fills the gap."""

    async def main() -> None:
        async with serving(DirectGuests({0: Memory()})) as portal, raw(portal) as initiator:
            await initiator.log_in()
            rejected = initiator.command(read10(0, 1), BLOCK)
            rejected.header[0] = Opcode.SNACK
            early, late = (initiator.command(read10(0, 1), BLOCK) for _ in range(2))
            late.cmd_sn, early.cmd_sn = rejected.cmd_sn, rejected.cmd_sn + 1
            answer = await initiator.ask(rejected)
            assert (answer.opcode, expected_next(answer)) == (Opcode.REJECT, rejected.cmd_sn)
            initiator.send(early, late)
            answers = [await initiator.receive() for _ in range(2)]
            assert [answer.tag for answer in answers] == [late.tag, early.tag]
            assert expected_next(answers[-1]) == early.cmd_sn + 1

    asyncio.run(main())


@pytest.mark.parametrize("wrong", ["garbage", "too long", "unwanted data"])
def test_a_broken_initiator_harms_nobody_else(wrong: str) -> None:
    async def main() -> None:
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal, raw(portal) as good, raw(portal) as bad:
            await good.log_in(InitiatorName=f"{INITIATOR}.good")
            await bad.log_in()
            if wrong == "garbage":
                bad.writer.write(b"\xff" * 4096)
            elif wrong == "too long":
                pdu = Pdu.of(Opcode.NOP_OUT, NO_TAG)
                bad.writer.write(pdu.header[:5] + b"\xff\xff\xff" + pdu.header[8:])
            else:
                command = bad.command(write10(0, 4), 4 * BLOCK, WRITE)
                r2t = await bad.ask(command)
                data = Pdu.of(Opcode.DATA_OUT, command.tag)
                data.transfer_tag, data.buffer_offset = r2t.transfer_tag, 999
                data.data = bytes(BLOCK)
                bad.send(data)
            await bad.until_closed()
            answer = await good.ask(good.command(read10(0, 1), BLOCK))
            assert answer.header[3] == Status.GOOD
            assert guests.left == [INITIATOR]

    asyncio.run(main())


pdus = st.builds(
    lambda opcode, fields, data: (opcode, fields, data),
    st.sampled_from([*Opcode, 0x1C]),
    st.binary(min_size=47, max_size=47),
    st.binary(max_size=64),
)


@settings(max_examples=60)
@given(st.lists(pdus, max_size=12))
def test_any_pdus_after_login(sent: list[tuple[int, bytes, bytes]]) -> None:
    """The target rejects, answers or closes; it neither fails nor forgets the others."""

    async def main() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: failures.append(context)
        )
        guests = DirectGuests({0: Memory()})
        async with serving(guests) as portal, raw(portal) as good, raw(portal) as bad:
            await good.log_in(InitiatorName=f"{INITIATOR}.good")
            await bad.log_in()
            for number, (opcode, fields, data) in enumerate(sent):
                pdu = Pdu(bytearray([opcode | (fields[0] & IMMEDIATE), *fields]), data)
                pdu.header[4] = 0  # no additional header
                pdu.cmd_sn = number + 1
                bad.send(pdu)
            with suppress(ConnectionError):
                bad.writer.write_eof()
            await bad.until_closed()
            answer = await good.ask(good.command(read10(0, 1), BLOCK))
            assert answer.header[3] == Status.GOOD
        assert not failures

    asyncio.run(main())
