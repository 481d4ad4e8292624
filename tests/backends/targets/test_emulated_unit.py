"""What all device types have of a logical unit: finding a command, its reserved bits, unit
attentions, and one place where errors become answers."""

from __future__ import annotations

import pytest

from pvdrivers.backends.targets.command import (
    Answer,
    CheckCondition,
    Command,
    CommandError,
    Nexus,
    invalid_parameter,
)
from pvdrivers.backends.targets.emulated_unit import DEVICE_RESET, EmulatedUnit
from pvdrivers.backends.targets.operations import operation
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

POWER_ON = (0x29, 0x01)


class Lamp(EmulatedUnit):
    device_type = 0x1F

    @operation(0x00, "TEST UNIT READY", "00 00 00 00 00 07")
    def test_unit_ready(self, command: Command) -> None:
        return None

    @operation(0x12, "INQUIRY", "12 01 ff ff ff 07", despite_attention=True)
    def inquiry(self, command: Command) -> bytes:
        return b"lamp"

    @operation(0xC0, "DIM", "c0 01 00 00 00 07", service_action=1, excludes_direct_access=True)
    @operation(0xC0, "DARKEN", "c0 02 00 00 00 07", service_action=2)
    def dim(self, command: Command) -> Answer:
        return Answer(data=command.cdb[1:2], unused=3)

    @operation(0xC1, "BREAK", "c1 00 03 00 00 07")
    def break_(self, command: Command) -> None:
        if command.cdb[2] == 1:
            raise CommandError(Status.RESERVATION_CONFLICT)
        if command.cdb[2] == 2:
            raise CheckCondition(Sense(SenseKey.NO_SENSE, 0, 0, incorrect_length=True), b"short")
        raise invalid_parameter(4, 2)

    def __repr__(self) -> str:
        return "<Lamp>"


@pytest.fixture
def lamp() -> Lamp:
    return Lamp()


@pytest.fixture
def nexus(lamp: Lamp) -> Nexus:
    nexus = Nexus("guest 1")
    lamp.attach(nexus)
    return nexus


def run(lamp: Lamp, nexus: Nexus, cdb: str) -> Answer:
    return lamp.execute(Command(nexus, bytes.fromhex(cdb)))


def sense_of(answer: Answer) -> Sense:
    assert answer.status == Status.CHECK_CONDITION
    sense = Sense.parse(answer.sense)
    assert sense is not None
    return sense


def test_good(lamp: Lamp, nexus: Nexus) -> None:
    assert run(lamp, nexus, "00 00 00 00 00 00") == Answer()
    assert run(lamp, nexus, "12 00 00 00 24 00").data == b"lamp"
    assert run(lamp, nexus, "c0 01 00 00 00 00") == Answer(data=b"\1", unused=3)
    assert run(lamp, nexus, "c0 02 00 00 00 00").data == b"\2"


@pytest.mark.parametrize(
    ("cdb", "code", "specific"),
    [
        ("c9 00 00 00 00 00", (0x20, 0x00), "c0 00 00"),  # no such opcode
        ("c0 03 00 00 00 00", (0x24, 0x00), "c0 00 01"),  # no such service action
        ("00 00 10 00 00 00", (0x24, 0x00), "cc 00 02"),  # a reserved bit
        ("12 02 00 00 24 00", (0x24, 0x00), "c9 00 01"),
        ("12 00 00 00", (0x24, 0x00), "00 00 00"),  # too short
        ("c1 00 03 00 00 00", (0x26, 0x00), "8a 00 04"),  # of the parameter list
    ],
)
def test_illegal_requests(
    lamp: Lamp, nexus: Nexus, cdb: str, code: tuple[int, int], specific: str
) -> None:
    sense = sense_of(run(lamp, nexus, cdb))
    assert sense.key == SenseKey.ILLEGAL_REQUEST
    assert (sense.asc, sense.ascq) == code
    assert sense.specific.hex(" ") == specific


def test_other_ends(lamp: Lamp, nexus: Nexus) -> None:
    assert run(lamp, nexus, "c1 00 01 00 00 00").status == Status.RESERVATION_CONFLICT
    short = run(lamp, nexus, "c1 00 02 00 00 00")
    assert short.data == b"short"
    assert sense_of(short).incorrect_length


def test_bytes_beyond_a_cdb_are_ignored(lamp: Lamp, nexus: Nexus) -> None:
    assert run(lamp, nexus, "00 00 00 00 00 00" + "ff" * 10) == Answer()


def test_unit_attentions(lamp: Lamp, nexus: Nexus) -> None:
    other = Nexus("guest 2")
    lamp.attach(other)
    lamp.establish_attention(POWER_ON, but=other)
    lamp.reset(other)
    lamp.reset(other)  # the same attention is not told twice
    assert run(lamp, nexus, "12 00 00 00 24 00").status == Status.GOOD  # INQUIRY tells none
    for code in (POWER_ON, DEVICE_RESET):
        sense = sense_of(run(lamp, nexus, "00 00 00 00 00 00"))
        assert (sense.key, sense.asc, sense.ascq) == (SenseKey.UNIT_ATTENTION, *code)
    assert run(lamp, nexus, "00 00 00 00 00 00") == Answer()
    assert lamp.has_attention(other)
    assert lamp.take_attention(other) == DEVICE_RESET
    assert not lamp.has_attention(other)


def test_an_illegal_request_leaves_the_attention_pending(lamp: Lamp, nexus: Nexus) -> None:
    lamp.establish_attention(POWER_ON, only=nexus)
    assert sense_of(run(lamp, nexus, "c9 00 00 00 00 00")).key == SenseKey.ILLEGAL_REQUEST
    assert lamp.has_attention(nexus)


def test_commands_that_exclude_direct_access(lamp: Lamp) -> None:
    assert lamp.excludes_direct_access(bytes.fromhex("c00100000000"))
    assert not lamp.excludes_direct_access(bytes.fromhex("c00200000000"))
    assert not lamp.excludes_direct_access(bytes.fromhex("c9"))


def test_a_usage_that_is_another_commands() -> None:
    with pytest.raises(ValueError, match="instead of 01"):
        operation(0x01, "REWIND", "00 00 00 00 00 00")
