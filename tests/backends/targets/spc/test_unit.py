"""What every device type answers, held against SPC-4 and against what sg3-utils reads in it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from pvdrivers.backends.targets.command import Command, invalid_parameter
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.mode import ModePage, control_page
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from ..sg3_utils import decoded

NOT_READY = Sense(SenseKey.NOT_READY, 0x04, 0x02)
WRITE_PROTECTED = Sense(SenseKey.DATA_PROTECT, 0x27, 0x00)


class Lamp(PrimaryUnit):
    device_type = 0x00
    ready = True
    protected = False
    selected: bytes | None = None

    def mode_pages(self) -> Iterable[ModePage]:
        brightness = ModePage(0x20, bytes((7, 0)), bytes((0x0F, 0)))
        colour = ModePage(0x20, b"red", b"\xff\xff\xff", subcode=3)
        return brightness, colour, *super().mode_pages()

    def block_descriptor(self, long: bool) -> bytes:
        return bytes(16 if long else 8)

    def select_block_descriptor(self, descriptor: bytes, place: int) -> None:
        if any(descriptor):
            raise invalid_parameter(place)
        self.selected = descriptor

    def condition(self) -> Sense | None:
        return None if self.ready else NOT_READY

    def write_protection(self) -> Sense | None:
        return WRITE_PROTECTED if self.protected else None

    @operation(0xC0, "LIGHT", "c0 01 00 00 00 00", service_action=1, needs=Needs.READY)
    @operation(0xC0, "DARKEN", "c0 02 00 ff 00 00", service_action=2, needs=Needs.WRITABLE)
    def light(self, command: Command) -> None: ...

    @operation(0xC1, "LOOK", "c1 00 00 00 00 00", access=Access.READ, needs=Needs.READY)
    def look(self, command: Command) -> None: ...

    def __repr__(self) -> str:
        return "<Lamp>"


@pytest.fixture
def lamp() -> Lamp:
    return Lamp(Identity.of("lamp 1", product="LAMP"))


@pytest.fixture
def initiator(lamp: Lamp) -> UnitInitiator:
    return UnitInitiator(lamp, luns=(0, 255, 256, 0x3FFF, 0x4000))


@pytest.fixture
def other(lamp: Lamp) -> UnitInitiator:
    return UnitInitiator(lamp, "initiator 2")


# ---- INQUIRY -----------------------------------------------------------------------------------


def test_standard_inquiry(initiator: UnitInitiator) -> None:
    data = initiator.good("12 00 00 00 ff 00")
    assert len(data) == data[4] + 5 == 96
    assert data[8:36] == b"PVDRIVERLAMP            0001"
    text = decoded("sg_inq", data, "--inhex=-", "--descriptors")
    for expected in ("SPC-4", "TPGS=1", "CmdQue=1", "HiSUP=1", "Resp_data_format=2", "SAM-5"):
        assert expected in text


def test_supported_pages_are_those_that_can_be_read(initiator: UnitInitiator) -> None:
    pages = initiator.good("12 01 00 00 ff 00")
    assert list(pages[4:]) == [0x00, 0x80, 0x83, 0x86, 0x87]
    for page in range(256):
        cdb = bytes((0x12, 1, page, 0, 255, 0))
        if page in pages[4:]:
            data = initiator.good(cdb)
            assert data[:2] == bytes((0, page))
            assert len(data) == struct.unpack(">H", data[2:4])[0] + 4
        else:
            assert initiator.code(cdb) == "05/24/00"


def test_device_identification(initiator: UnitInitiator, lamp: Lamp) -> None:
    text = decoded("sg_vpd", initiator.good("12 01 83 00 ff 00"), "--inhex=-", "--page=di")
    assert f"0x{lamp.identity.naa:016x}" in text
    assert "designator type: NAA" in text
    assert "vendor id: PVDRIVER" in text
    assert "Relative target port: 0x1" in text
    assert "Target port group: 0x1" in text


@pytest.mark.parametrize(
    ("page", "expected"), [("sn", "Unit serial number"), ("ei", "SIMPSUP=1"), ("mpp", "MLUS=0")]
)
def test_pages_that_sg_vpd_reads(initiator: UnitInitiator, page: str, expected: str) -> None:
    code = {"sn": "80", "ei": "86", "mpp": "87"}[page]
    text = decoded(
        "sg_vpd", initiator.good(f"12 01 {code} 00 ff 00"), "--inhex=-", f"--page={page}"
    )
    assert expected in text


def test_a_page_without_evpd(initiator: UnitInitiator) -> None:
    assert initiator.code("12 00 80 00 ff 00") == "05/24/00"


def test_an_identity_follows_from_the_name_alone() -> None:
    assert Identity.of("a") == Identity.of("a")
    assert Identity.of("a").naa != Identity.of("b").naa
    assert Identity.of("a").serial != Identity.of("b").serial
    assert Identity.of("a").naa >> 60 == 3


@pytest.mark.parametrize(
    "texts", [{"vendor": "too long a name"}, {"serial": ""}, {"product": "ä"}, {"revision": "\n"}]
)
def test_texts_that_inquiry_cannot_have(texts: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(texts))} .* printable ASCII"):
        Identity.of("a", **texts)


# ---- state -------------------------------------------------------------------------------------


def test_a_unit_that_is_not_ready(initiator: UnitInitiator, lamp: Lamp) -> None:
    assert initiator.good("00 00 00 00 00 00") == b""
    lamp.ready = False
    for cdb in ("00 00 00 00 00 00", "c1 00 00 00 00 00", "c0 02 00 00 00 00"):
        assert initiator.code(cdb) == "02/04/02"
    assert Sense.parse(initiator.good("03 00 00 00 ff 00")) == NOT_READY
    initiator.good("12 00 00 00 24 00")


def test_the_default_self_test(initiator: UnitInitiator) -> None:
    initiator.good("1d 04 00 00 00 00")
    assert initiator.code("1d 10 00 00 04 00", bytes(4)) == "05/24/00"


def test_a_write_protected_unit(initiator: UnitInitiator, lamp: Lamp) -> None:
    lamp.protected = True
    assert initiator.code("c0 02 00 00 00 00") == "07/27/00"
    initiator.good("c0 01 00 00 00 00")


def test_request_sense_takes_the_attention(initiator: UnitInitiator, lamp: Lamp) -> None:
    lamp.establish_attention((0x29, 0x00))
    for cdb in ("03 00 00 00 ff 00", "03 01 00 00 ff 00"):
        data = initiator.good(cdb)
        assert data[0] == (0x72 if cdb[4] == "1" else 0x70)
        sense = Sense.parse(data)
        assert sense is not None
        assert sense.key in (SenseKey.UNIT_ATTENTION, SenseKey.NO_SENSE)
    assert sense.key == SenseKey.NO_SENSE
    assert len(initiator.good("03 00 00 00 05 00")) == 5


def test_report_luns(initiator: UnitInitiator, lamp: Lamp) -> None:
    lamp.luns_changed(initiator.nexus)
    assert lamp.has_attention(initiator.nexus)
    data = initiator.good("a0 00 00 00 00 00 00 00 01 00 00 00")
    assert struct.unpack(">I", data[:4])[0] == 5 * 8 == len(data) - 8
    luns = [data[8 + 8 * i : 16 + 8 * i] for i in range(5)]
    assert [lun.hex() for lun in luns] == [
        "0000000000000000",
        "00ff000000000000",
        "4100000000000000",
        "7fff000000000000",
        "d200400000000000",
    ]
    initiator.good("00 00 00 00 00 00")  # the attention has been told by REPORT LUNS
    assert initiator.good("a0 00 01 00 00 00 00 00 01 00 00 00") == bytes(8)
    assert initiator.good("a0 00 02 00 00 00 00 00 01 00 00 00") == data
    assert initiator.good("a0 00 00 00 00 00 00 00 00 0c 00 00") == data[:12]
    assert initiator.code("a0 00 10 00 00 00 00 00 01 00 00 00") == "05/24/00"


def test_report_target_port_groups(initiator: UnitInitiator) -> None:
    data = initiator.good("a3 0a 00 00 00 00 00 00 00 ff 00 00")
    assert data.hex(" ") == "00 00 00 0c 00 01 00 01 00 00 00 01 00 00 00 01"
    data = initiator.good("a3 2a 00 00 00 00 00 00 00 ff 00 00")
    assert data[:8].hex(" ") == "00 00 00 10 10 00 00 00"
    assert initiator.code("a3 4a 00 00 00 00 00 00 00 ff 00 00") == "05/24/00"


# ---- REPORT SUPPORTED OPERATION CODES ----------------------------------------------------------


def supported(initiator: UnitInitiator, timeouts: bool) -> list[bytes]:
    data = initiator.good(f"a3 0c {'80' if timeouts else '00'} 00 00 00 00 00 ff ff 00 00")
    assert struct.unpack(">I", data[:4])[0] == len(data) - 4
    size = 20 if timeouts else 8
    return [data[place : place + size] for place in range(4, len(data), size)]


@pytest.mark.parametrize("timeouts", [False, True])
def test_each_operation_is_listed_and_can_be_asked_for(
    initiator: UnitInitiator, lamp: Lamp, timeouts: bool
) -> None:
    listed = supported(initiator, timeouts)
    assert len(listed) == len(list(lamp.operations))
    for entry, found in zip(listed, lamp.operations, strict=True):
        action, flags, length = struct.unpack(">xxHxBH", entry[:8])
        assert entry[0] == found.opcode
        assert flags == (found.service_action is not None) | (2 if timeouts else 0)
        assert action == (found.service_action or 0)
        option = (2 if flags & 1 else 1) | (0x80 if timeouts else 0)
        cdb = struct.pack(">BBBBHIxx", 0xA3, 0x0C, option, entry[0], action, 255)
        one = initiator.good(cdb)
        assert one[1] == (0x83 if timeouts else 0x03)
        assert struct.unpack(">H", one[2:4])[0] == length
        assert one[4 : 4 + length] == found.usage
        assert len(one) == 4 + length + (12 if timeouts else 0)
        wrong = struct.pack(">BBBBHIxx", 0xA3, 0x0C, 1 if flags & 1 else 2, entry[0], action, 255)
        assert initiator.code(wrong) == "05/24/00"
        either = struct.pack(">BBBBHIxx", 0xA3, 0x0C, 3, entry[0], action, 255)
        assert initiator.good(either)[1] == 0x03


@pytest.mark.parametrize(
    ("option", "opcode", "action"), [(1, 0xC9, 0), (2, 0xC0, 3), (2, 0xC9, 1), (3, 0x00, 1)]
)
def test_operations_there_are_not(
    initiator: UnitInitiator, option: int, opcode: int, action: int
) -> None:
    cdb = struct.pack(">BBBBHIxx", 0xA3, 0x0C, option, opcode, action, 255)
    assert initiator.good(cdb) == bytes((0, 1, 0, 0))


def test_reserved_reporting_options(initiator: UnitInitiator) -> None:
    assert initiator.code("a3 0c 05 00 00 00 00 00 00 ff 00 00") == "05/24/00"


def test_a_unit_without_some_operations(initiator: UnitInitiator, lamp: Lamp) -> None:
    lamp.operations = lamp.operations.without({"LOOK", "DARKEN"})
    assert initiator.code("c1 00 00 00 00 00") == "05/20/00"
    assert initiator.code("c0 02 00 00 00 00") == "05/24/00"
    initiator.good("c0 01 00 00 00 00")
    assert not {0xC1} & {entry[0] for entry in supported(initiator, False)}
    assert "LOOK" in {found.name for found in Lamp.operations}


def test_task_management_functions(initiator: UnitInitiator) -> None:
    assert initiator.good("a3 0d 00 00 00 00 00 00 00 ff 00 00") == bytes((0x88, 0, 0, 0))
    data = initiator.good("a3 0d 80 00 00 00 00 00 00 ff 00 00")
    assert len(data) == data[3] + 4 == 16


# ---- mode pages --------------------------------------------------------------------------------

BRIGHTNESS, COLOUR = "20 02 07 00", "60 03 00 03 72 65 64"
CONTROL = "0a 0a 02 10 00 00 00 00 00 00 00 00"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("20 00", BRIGHTNESS),
        ("20 03", COLOUR),
        ("20 ff", f"{BRIGHTNESS} {COLOUR}"),
        ("0a 00", CONTROL),
        ("3f 00", f"{CONTROL} {BRIGHTNESS}"),
        ("3f ff", f"{CONTROL} {BRIGHTNESS} {COLOUR}"),
        ("a0 00", BRIGHTNESS),  # default
        ("60 00", "20 02 0f 00"),  # changeable
    ],
)
def test_mode_sense(initiator: UnitInitiator, page: str, expected: str) -> None:
    pages = bytes.fromhex(expected)
    data = initiator.good(f"1a 08 {page} ff 00")
    assert data == bytes((3 + len(pages), 0, 0, 0)) + pages
    data = initiator.good(f"1a 00 {page} ff 00")
    assert data == bytes((11 + len(pages), 0, 0, 8)) + bytes(8) + pages
    data = initiator.good(f"5a 08 {page} 00 00 00 00 ff 00")
    assert data == bytes((0, 6 + len(pages))) + bytes(6) + pages
    data = initiator.good(f"5a 10 {page} 00 00 00 00 ff 00")  # LLBAA
    assert data == bytes((0, 22 + len(pages), 0, 0, 1, 0, 0, 16)) + bytes(16) + pages
    assert initiator.good(f"5a 10 {page} 00 00 00 00 09 00") == data[:9]


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("21 00", "05/24/00"),
        ("20 01", "05/24/00"),
        ("3f 01", "05/24/00"),
        ("e0 00", "05/39/00"),  # saved values
    ],
)
def test_mode_sense_of_what_there_is_not(initiator: UnitInitiator, page: str, code: str) -> None:
    assert initiator.code(f"1a 00 {page} ff 00") == code
    assert initiator.code(f"5a 00 {page} 00 00 00 00 ff 00") == code


def select_6(pages: str, descriptor: str = "") -> tuple[bytes, bytes]:
    blocks = bytes.fromhex(descriptor)
    data = bytes((0, 0, 0, len(blocks))) + blocks + bytes.fromhex(pages)
    return bytes((0x15, 0x10, 0, 0, len(data), 0)), data


def select_10(pages: str, descriptor: str = "", long: bool = False) -> tuple[bytes, bytes]:
    blocks = bytes.fromhex(descriptor)
    data = struct.pack(">HBBBBH", 0, 0, 0, long, 0, len(blocks)) + blocks + bytes.fromhex(pages)
    return struct.pack(">BB5xHx", 0x55, 0x10, len(data)), data


def test_mode_select(initiator: UnitInitiator, other: UnitInitiator) -> None:
    initiator.good(*select_6("a0 02 09 00"))  # PS is ignored
    assert initiator.good("1a 08 20 00 ff 00")[4:].hex(" ") == "20 02 09 00"
    assert initiator.good("1a 08 a0 00 ff 00")[4:].hex(" ") == BRIGHTNESS
    assert other.code("00 00 00 00 00 00") == "06/2a/01"
    initiator.good("00 00 00 00 00 00")
    initiator.good(*select_10(f"20 02 01 00 60 03 00 03 {b'sun'.hex()}"))
    assert initiator.good("1a 08 20 ff ff 00")[4:] == bytes.fromhex("20 02 01 00 60 03 00 03") + (
        b"sun"
    )


def test_a_select_that_changes_nothing_is_told_to_nobody(
    initiator: UnitInitiator, other: UnitInitiator
) -> None:
    initiator.good(*select_6(BRIGHTNESS))
    initiator.good("15 10 00 00 00 00")
    other.good("00 00 00 00 00 00")


def test_a_reset_brings_the_defaults_back(initiator: UnitInitiator, lamp: Lamp) -> None:
    initiator.good(*select_6("20 02 09 00"))
    lamp.reset(initiator.nexus)
    assert initiator.code("00 00 00 00 00 00") == "06/29/03"
    assert initiator.good("1a 08 20 00 ff 00")[4:].hex(" ") == BRIGHTNESS


def test_selected_block_descriptors(initiator: UnitInitiator, lamp: Lamp) -> None:
    initiator.good(*select_6(BRIGHTNESS, "00" * 8))
    assert lamp.selected == bytes(8)
    initiator.good(*select_10(BRIGHTNESS, "00" * 16, long=True))
    assert lamp.selected == bytes(16)
    assert initiator.code(*select_10("20 02 09 00", "01" + "00" * 7)) == "05/26/00"
    assert initiator.code(*select_10("", "00" * 8, long=True)) == "05/26/00"
    assert initiator.code(*select_6("", "00" * 7)) == "05/26/00"
    assert initiator.good("1a 08 20 00 ff 00")[4:].hex(" ") == BRIGHTNESS


@pytest.mark.parametrize(
    ("pages", "code", "field"),
    [
        ("21 02 00 00", "05/26/00", 4),  # no such page
        ("20 02 17 00", "05/26/00", 6),  # a bit that cannot be changed
        ("20 03 07 00 00", "05/26/00", 5),  # another length
        ("60 04 00 03 00 00 00", "05/26/00", 4),  # no such subpage
        ("20 02 07", "05/1a/00", None),  # cut off
        ("20", "05/1a/00", None),
        ("60 03 00", "05/1a/00", None),
        (f"20 02 09 00 {COLOUR[:-2]}", "05/1a/00", None),  # the first page would be right
    ],
)
def test_mode_select_refuses(
    initiator: UnitInitiator, pages: str, code: str, field: int | None
) -> None:
    for cdb, data in (select_6(pages), select_10(pages)):
        assert initiator.code(cdb, data) == code
        sense = initiator.sense(cdb, data)
        if field is not None:
            place = field if cdb[0] == 0x15 else field + 4
            assert struct.unpack(">H", sense.specific[1:])[0] == place
    assert initiator.good("1a 08 20 ff ff 00")[4:] == bytes.fromhex(BRIGHTNESS + COLOUR)


@pytest.mark.parametrize(
    ("cdb", "data", "code"),
    [
        ("15 10 00 00 03 00", "000000", "05/1a/00"),  # less than a header
        ("55 10 00 00 00 00 00 00 07 00", "00" * 7, "05/1a/00"),
        ("15 10 00 00 08 00", "000000", "05/1a/00"),  # less has come than the CDB says
        ("15 10 00 00 04 00", "00000008", "05/1a/00"),  # less than its block descriptor
        ("15 00 00 00 04 00", "00000000", "05/24/00"),  # PF is 0
        ("15 11 00 00 04 00", "00000000", "05/24/00"),  # SP is 1
    ],
)
def test_mode_select_of_other_lengths(
    initiator: UnitInitiator, cdb: str, data: str, code: str
) -> None:
    assert initiator.code(cdb, data) == code


def test_sense_format_by_the_control_page(initiator: UnitInitiator) -> None:
    assert initiator.run("c9 00 00 00 00 00").sense[0] == 0x70
    initiator.good(*select_6("0a 0a 06 10 00 00 00 00 00 00 00 00"))
    assert initiator.run("c9 00 00 00 00 00").sense[0] == 0x72


def test_swp_only_where_it_can_be_written() -> None:
    assert control_page().mask[2] == 0
    assert control_page(write_protectable=True).mask[2] == 0x08


# ---- log pages ---------------------------------------------------------------------------------


def test_log_sense(initiator: UnitInitiator) -> None:
    assert initiator.good("4d 00 40 00 00 00 00 00 ff 00").hex(" ") == "00 00 00 02 00 2f"
    assert initiator.good("4d 00 40 ff 00 00 00 00 ff 00").hex(" ") == (
        "40 ff 00 06 00 00 00 ff 2f 00"
    )
    page = "2f 00 00 08 00 00 03 04 00 00 ff ff"
    assert initiator.good("4d 00 6f 00 00 00 00 00 ff 00").hex(" ") == page
    assert initiator.good("4d 00 6f 00 00 00 00 00 05 00").hex(" ") == page[:14]


def test_no_temperature_is_made_up(initiator: UnitInitiator) -> None:
    page = initiator.good("4d 00 6f 00 00 00 00 00 ff 00")
    assert "temperature = <not available>" in decoded("sg_logs", page, "--in=-")


def test_page_control_does_not_count_for_lists(initiator: UnitInitiator) -> None:
    """tapeinfo asks for thresholds of TapeAlert."""
    logs = {initiator.good(bytes((0x4D, 0, pc << 6 | 0x2F, *bytes(5), 99, 0))) for pc in range(4)}
    assert len(logs) == 1


@pytest.mark.parametrize("cdb", ["4d 00 41", "4d 00 6f 01", "4d 01 6f"])
def test_log_pages_there_are_not(initiator: UnitInitiator, cdb: str) -> None:
    given = bytes.fromhex(cdb)
    assert initiator.code(given + bytes(8 - len(given)) + b"\xff\0") == "05/24/00"


def test_a_parameter_pointer_behind_the_last(initiator: UnitInitiator) -> None:
    assert initiator.code("4d 00 6f 00 00 00 01 00 ff 00") == "05/24/00"


# ---- RESERVE and RELEASE -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve", "release"),
    [("16" + "00" * 5, "17" + "00" * 5), ("56" + "00" * 9, "57" + "00" * 9)],
)
def test_reserve(
    initiator: UnitInitiator, other: UnitInitiator, reserve: str, release: str
) -> None:
    initiator.good(reserve)
    initiator.good(reserve)
    other.good(release)  # of another initiator it does nothing
    for cdb in (reserve, "00" * 6, "1a 08 3f 00 ff 00", "c1 00 00 00 00 00"):
        assert other.run(cdb).status == Status.RESERVATION_CONFLICT
        initiator.good(cdb)
    for cdb in ("12 00 00 00 24 00", "03 00 00 00 ff 00", "a0" + "00" * 11):
        other.good(cdb)
    initiator.good(release)
    other.good("00 00 00 00 00 00")


def test_a_reservation_ends_with_a_reset_and_with_its_holder(
    initiator: UnitInitiator, other: UnitInitiator, lamp: Lamp
) -> None:
    initiator.good("16 00 00 00 00 00")
    lamp.detach(initiator.nexus)
    other.good("16 00 00 00 00 00")
    lamp.attach(initiator.nexus)
    assert initiator.run("00 00 00 00 00 00").status == Status.RESERVATION_CONFLICT
    lamp.reset(initiator.nexus)
    assert initiator.code("00 00 00 00 00 00") == "06/29/03"
    initiator.good("00 00 00 00 00 00")
