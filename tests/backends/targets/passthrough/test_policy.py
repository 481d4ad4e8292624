"""What a guest may send to a device that others use too."""

from __future__ import annotations

import struct

import pytest

from pvdrivers.backends.targets.command import CheckCondition, Command, Nexus
from pvdrivers.backends.targets.passthrough.commands import CHANGER, DISK, TAPE
from pvdrivers.backends.targets.passthrough.policy import RESERVATIONS, Policy
from pvdrivers.ring.errors import UsageError

NEXUS = Nexus("guest")


def code(policy: Policy, device_type: int, cdb: str) -> str:
    """How it is refused; empty: it is passed on."""
    try:
        policy.check(device_type, bytes.fromhex(cdb))
    except CheckCondition as error:
        return error.sense.code
    return ""


DANGEROUS = {
    "FORMAT UNIT": (DISK, "04 00 00 00 00 00"),
    "REASSIGN BLOCKS": (DISK, "07 00 00 00 00 00"),
    "MODE SELECT(6)": (DISK, "15 10 00 00 00 00"),
    "MODE SELECT(10)": (CHANGER, "55 10 00 00 00 00 00 00 00 00"),
    "START STOP UNIT": (DISK, "1b 00 00 00 00 00"),
    "SEND DIAGNOSTIC": (TAPE, "1d 04 00 00 00 00"),
    "RECEIVE DIAGNOSTIC RESULTS": (DISK, "1c 00 00 00 00 00"),
    "WRITE BUFFER": (DISK, "3b 05 00 00 00 00 00 00 00 00"),
    "READ BUFFER": (DISK, "3c 02 00 00 00 00 00 00 00 00"),
    "LOG SELECT": (TAPE, "4c 00 00 00 00 00 00 00 00 00"),
    "SANITIZE OVERWRITE": (DISK, "48 01 00 00 00 00 00 00 00 00"),
    "EXTENDED COPY(LID1)": (DISK, "83 00" + 14 * " 00"),
    "WRITE USING TOKEN": (DISK, "83 11" + 14 * " 00"),
    "SECURITY PROTOCOL IN": (DISK, "a2 00" + 10 * " 00"),
    "SECURITY PROTOCOL OUT": (TAPE, "b5 00" + 10 * " 00"),
    "SET TARGET PORT GROUPS": (DISK, "a4 0a" + 10 * " 00"),
    "WRITE LONG(16)": (DISK, "9f 11" + 14 * " 00"),
    "FORMAT MEDIUM": (TAPE, "04 00 00 00 00 00"),
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_what_a_guest_must_not_send_unless_it_is_allowed_by_name(name: str) -> None:
    device_type, cdb = DANGEROUS[name]
    assert code(Policy(), device_type, cdb) == "05/20/00"
    assert code(Policy(allow=[name]), device_type, cdb) == ""
    others = [other for other in DANGEROUS if other != name]
    assert code(Policy(allow=others), device_type, cdb) == "05/20/00"


@pytest.mark.parametrize(
    ("device_type", "cdb", "expected"),
    [
        (DISK, "c1 00 00 00 00 00", "05/20/00"),  # vendor specific
        (DISK, "b8 00 00 00 00 00 00 00 00 00 00 00", "05/20/00"),  # of another device type
        (0x1E, "28 00 00 00 00 00 00 00 00 00", "05/20/00"),
        (DISK, "9e 1f" + 14 * " 00", "05/24/00"),  # an unknown service action
        (DISK, "", "05/20/00"),
        (DISK, "28 00 00 00 00 00 00 00 00", "05/24/00"),  # too short
        (DISK, "9e", "05/24/00"),
        (DISK, "28 00 00 00 00 00 00 00 00 04", "05/24/00"),  # NACA
        (DISK, "00 00 00 00 00 04", "05/24/00"),
        (DISK, "28 00 00 00 00 00 00 00 00 00", ""),
        (DISK, "28 00 00 00 00 00 00 00 00 00 ff ff", ""),  # beyond its length
        (TAPE, "15 10 00 00 0c 00", ""),  # how a tape's blocks are chosen
        (CHANGER, "b5 00" + 10 * " 00", ""),  # REQUEST VOLUME ELEMENT ADDRESS
        (0x05, "28 00 00 00 00 00 00 00 00 00", ""),
    ],
)
def test_how_a_command_is_judged(device_type: int, cdb: str, expected: str) -> None:
    assert code(Policy(), device_type, cdb) == expected


@pytest.mark.parametrize(
    ("device_type", "writes", "reads"),
    [
        (DISK, ["2a", "0a", "8a", "41", "42", "89", "93"], ["28", "25", "12", "35", "2f", "5f"]),
        (TAPE, ["0a", "10", "19", "8d"], ["08", "11", "01", "34", "15", "1b"]),
        (CHANGER, ["a5", "a6"], ["b8", "07", "1a"]),
    ],
)
def test_a_read_only_lun(device_type: int, writes: list[str], reads: list[str]) -> None:
    policy = Policy(read_only=True)
    assert {code(policy, device_type, each + 15 * "00") for each in writes} == {"07/27/00"}
    assert {code(policy, device_type, each + 15 * "00") for each in reads} == {""}


def test_what_is_refused_by_name_may_be_allowed_by_name() -> None:
    reserve = "5f 00 00 00 00 00 00 00 18 00"
    assert code(Policy(), DISK, reserve) == ""
    assert code(Policy(refuse=RESERVATIONS), DISK, reserve) == "05/20/00"
    policy = Policy(["PERSISTENT RESERVE OUT"], refuse=RESERVATIONS)
    assert code(policy, DISK, reserve) == ""


def test_a_name_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"no command 'FORMAT' .*COMPARE AND WRITE.*FORMAT UNIT"):
        Policy(allow=["FORMAT"])


def shown(policy: Policy, cdb: str, data: bytes, device_type: int = DISK) -> bytes:
    command = Command(NEXUS, bytes.fromhex(cdb), room=1024)
    return bytes(policy.shown(device_type, command, data))


def test_inquiry_offers_no_copies_to_other_luns() -> None:
    data = bytes((0, 0, 6, 0x32, 31, 0x18, 0x40, 2))
    inquiry = "12 00 00 00 ff 00"
    assert shown(Policy(), inquiry, data) == bytes((0, 0, 6, 0x12, 31, 0x10, 0, 2))
    allowed = Policy(allow=["EXTENDED COPY(LID1)"])
    assert shown(allowed, inquiry, data) == bytes((0, 0, 6, 0x12, 31, 0x18, 0, 2))
    assert shown(Policy(), inquiry, data[:2]) == data[:2]
    assert shown(Policy(), "12 01 00 00 ff 00", data) == data  # a page is left alone


def test_mode_sense_says_that_it_is_read_only() -> None:
    policy = Policy(read_only=True)
    assert shown(policy, "1a 00 3f 00 ff 00", bytes(8))[2] == 0x80
    assert shown(policy, "5a 00 3f 00 00 00 00 00 ff 00", bytes(8))[3] == 0x80
    assert shown(policy, "1a 00 3f 00 02 00", bytes(2)) == bytes(2)
    assert shown(Policy(), "1a 00 3f 00 ff 00", bytes(8)) == bytes(8)


ALL_CODES = "a3 0c 00 00 00 00 00 00 00 {:02x} 00 00"


def descriptor(opcode: int, action: int | None = None, timeouts: bool = False) -> bytes:
    flags = (action is not None) | timeouts << 1
    tail = bytes(12) if timeouts else b""
    return struct.pack(">BxHxBH", opcode, action or 0, flags, 6) + tail


def test_supported_operation_codes_are_those_that_are_passed_on() -> None:
    kept = descriptor(0x28, timeouts=True) + descriptor(0x9E, 0x10)
    told = descriptor(0x04) + kept[:20] + descriptor(0xC1) + kept[20:] + descriptor(0x48, 1)
    data = len(told).to_bytes(4, "big") + told
    expected = len(kept).to_bytes(4, "big") + kept
    assert shown(Policy(), ALL_CODES.format(255), data) == expected
    assert shown(Policy(), ALL_CODES.format(4), data) == expected[:4]
    assert shown(Policy(), ALL_CODES.format(255), data[:-3]) == expected  # a device that cuts it

    one = "a3 0c {} 00 00 00 00 00 ff 00 00 00"
    answer = bytes((0, 3, 0, 10))
    assert shown(Policy(), one.format("01 04 00 00"), answer) == bytes((0, 1, 0, 0))
    assert shown(Policy(), one.format("01 28 00 00"), answer) == answer
    assert shown(Policy(), one.format("02 48 00 01"), answer) == bytes((0, 1, 0, 0))
    assert shown(Policy(), one.format("02 9e 00 10"), answer) == answer


def test_the_device_is_asked_for_the_whole_list() -> None:
    """Since what is left out of a part would leave nothing."""
    command = Command(NEXUS, bytes.fromhex(ALL_CODES.format(4)), room=4)
    asked = Policy().asked(command)
    assert (asked.room, asked.number(6, 4)) == (1 << 16, 1 << 16)
    read = Command(NEXUS, bytes.fromhex("28 00 00 00 00 00 00 00 01 00"), room=512)
    assert Policy().asked(read) is read
