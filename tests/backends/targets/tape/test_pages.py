"""Mode pages, log pages, vital product data and densities of a tape."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from ..sg3_utils import decoded
from .conftest import MakeTape
from .tape_commands import LOAD, PREVENT, UNLOAD, block_length, put, read, write

TRANSFERS = "4d 00 4c 00 00 00 00 ff ff 00"
ALERTS, CAPACITY = "4d 00 6e 00 00 00 00 ff ff 00", "4d 00 71 00 00 00 00 ff ff 00"


def raised(initiator: UnitInitiator) -> set[int]:
    """TapeAlert flags that are set."""
    log = initiator.good(ALERTS)
    assert log[:4] == struct.pack(">BBH", 0x2E, 0, 64 * 5)
    flags = {code: bool(value) for code, value in struct.iter_unpack(">HxxB", log[4:])}
    assert [*flags] == [*range(1, 65)]
    return {code for code, is_set in flags.items() if is_set}


def test_it_says_that_it_is_a_tape(initiator: UnitInitiator) -> None:
    text = decoded("sg_inq", initiator.good("12 00 00 00 ff 00"), "--inhex=-", "--descriptors")
    for told in ("RMB=1", "Peripheral device type: tape", "SSC-4 (no version claimed)"):
        assert told in text


def test_vital_product_data(initiator: UnitInitiator) -> None:
    pages = initiator.good("12 01 00 00 ff 00")[4:]
    assert pages == bytes((0x00, 0x80, 0x83, 0x86, 0x87, 0xB0, 0xB2))
    for page in pages:
        assert initiator.good(bytes((0x12, 1, page, 0, 0xFF, 0)))[:2] == bytes((1, page))
    assert "WORM=0" in decoded("sg_vpd", initiator.good("12 01 b0 00 ff 00"), "--inhex=-")
    text = decoded("sg_vpd", initiator.good("12 01 b2 00 ff 00"), "--inhex=-")
    flags = dict(re.findall(r"(\w\w)h: (\d)", text))
    assert len(flags) == 64
    assert [flag for flag, is_set in flags.items() if is_set == "1"] == ["05", "06", "09", "0A"]


# ---- mode pages --------------------------------------------------------------------------------


def test_block_length_and_density(initiator: UnitInitiator) -> None:
    assert initiator.good("1a 00 0f 00 0c 00")[:12] == bytes.fromhex(
        "1b 00 10 08 80 000000 00000000"
    )
    block_length(initiator, 0x012345)
    assert initiator.good("5a 00 0f 00 00 00 00 00 10 00")[8:16] == bytes.fromhex(
        "80 000000 00 012345"
    )
    assert len(initiator.good("1a 08 0f 00 ff 00")) == 20


@pytest.mark.parametrize("density", ["00", "7f", "80"])
def test_densities_that_can_be_chosen(initiator: UnitInitiator, density: str) -> None:
    initiator.good("15 10 00 00 0c 00", f"00 00 10 08 {density} 00 00 00 00 00 02 00")


@pytest.mark.parametrize(
    ("descriptor", "place"),
    [
        ("01 00 00 00 00 00 00 00", 4),
        ("00 00 00 01 00 00 00 00", 5),
        ("00 00 00 00 01 00 00 00", 8),
    ],
)
def test_block_descriptors_that_cannot_be(
    initiator: UnitInitiator, descriptor: str, place: int
) -> None:
    sense = initiator.sense("15 10 00 00 0c 00", "00 00 00 08" + descriptor)
    assert sense[:3] == (5, 0x26, 0)
    assert sense.specific == bytes((0x80, 0, place))


def test_there_are_no_long_block_descriptors(initiator: UnitInitiator) -> None:
    data = "00 00 00 00 01 00 00 10" + "00" * 16
    assert initiator.code("55 10 00 00 00 00 00 00 18 00", data) == "05/26/00"


def test_a_block_length_is_told_to_the_others(initiator: UnitInitiator) -> None:
    second = UnitInitiator(initiator.unit, "initiator 2")
    block_length(initiator, 512)
    assert second.code("00 00 00 00 00 00") == "06/2a/01"
    block_length(initiator, 512)
    second.good("00 00 00 00 00 00")


def test_pages(initiator: UnitInitiator) -> None:
    """Compression is not there; positions are numbers of objects; early warning is reported."""
    pages = initiator.good("5a 08 3f ff 00 00 00 ff ff 00")[8:]
    assert pages[:2] == bytes((0x01, 10))
    configuration = initiator.good("1a 08 10 00 ff 00")[4:]
    assert configuration == bytes.fromhex("10 0e 00 00 00 00 00 00 40 00 18 00 00 00 00 00")
    extension = initiator.good("1a 08 10 01 ff 00")[4:]
    assert extension == bytes.fromhex("50 01 00 1c 01 02") + bytes(26)
    assert initiator.good("1a 08 0f 00 ff 00")[4:] == bytes.fromhex("0f 0e") + bytes(14)
    sense = initiator.sense("15 10 00 00 14 00", "00 00 00 00 0f 0e 80" + "00" * 13)
    assert sense[:3] == (5, 0x26, 0)


# ---- logs --------------------------------------------------------------------------------------


def test_alerts_stay_until_another_cartridge_is_loaded(
    make_tape: MakeTape, cartridge: Path
) -> None:
    cartridge.write_bytes(b"\3\0\0\x80bad\0\3\0\0\x80")
    initiator = make_tape(read_only=True)
    assert raised(initiator) == set()
    assert initiator.code(read(3)) == "03/11/00"
    assert raised(initiator) == {5}
    assert initiator.code(write(1), b"x") == "07/27/00"
    initiator.good(PREVENT)
    assert initiator.code(UNLOAD) == "05/53/02"
    assert raised(initiator) == raised(initiator) == {5, 9, 10}
    initiator.good("1e 00 00 00 00 00")
    initiator.good(UNLOAD)
    initiator.good(LOAD)
    assert raised(initiator) == set()


def test_logs_as_sg_logs_reads_them(make_tape: MakeTape, cartridge: Path) -> None:
    cartridge.write_bytes(b"\3\0\0\x80bad\0\3\0\0\x80")
    initiator = make_tape(capacity=10 << 20)
    initiator.sense(read(3))
    text = decoded("sg_logs", initiator.good(ALERTS), "--in=-", "--pdt=1")
    assert re.findall(r"([\w ]+): 1$", text, re.MULTILINE) == ["  Read failure"]
    text = decoded("sg_logs", initiator.good(CAPACITY), "--in=-", "--pdt=1")
    assert re.findall(r"Main partition (\w+) capacity \(in MiB\): (\d+)", text) == [
        ("remaining", "9"),
        ("maximum", "10"),
    ]


def test_logs_there_are(initiator: UnitInitiator) -> None:
    assert initiator.good("4d 00 40 00 00 00 00 00 ff 00")[4:] == bytes((0, 0x0C, 0x2E, 0x2F, 0x31))


def test_capacity_is_in_mebibytes(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=10 << 20)

    def numbers() -> list[int]:
        log = initiator.good(CAPACITY)
        return [value for _, value in struct.iter_unpack(">HxxI", log[4:])]

    assert numbers() == [10, 0, 10, 0]
    put(initiator, bytes(3 << 20))
    assert numbers() == [6, 0, 10, 0]
    initiator.good(UNLOAD)
    assert numbers() == [0, 0, 0, 0]


def test_bytes_that_were_transferred(make_tape: MakeTape) -> None:
    """From initiators and to the tape, from the tape and to initiators."""
    initiator = make_tape(block_length=100)
    second = UnitInitiator(initiator.unit, "initiator 2")

    def counted() -> list[int]:
        log = initiator.good(TRANSFERS)
        return [value for _, value in struct.iter_unpack(">HxxQ", log[4:])]

    put(initiator, bytes(1000), None)
    initiator.good(write(3, 1), bytes(300))
    initiator.good("01 00 00 00 00 00")
    initiator.sense(read(600))
    assert counted() == [1300, 1300, 600, 600]
    initiator.good("4c 00 40 00 00 00 00 00 00 00")
    assert initiator.code("4c 02 40 00 00 00 00 00 01 00", b"x") == "05/24/00"
    assert counted() == [1300, 1300, 600, 600]
    initiator.good("4c 02 40 00 00 00 00 00 00 00")
    assert counted() == [0, 0, 0, 0]
    text = decoded("sg_logs", initiator.good(TRANSFERS), "--in=-", "--pdt=1")
    assert "Data bytes transferred by READ commands: 0 GB" in text
    assert second.code("00 00 00 00 00 00") == "06/2a/02"


# ---- densities ---------------------------------------------------------------------------------


def test_density_support(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=5 * 10**9)
    data = initiator.good("44 01 00 00 00 00 00 00 ff 00")
    assert data[:4] == struct.pack(">Hxx", len(data) - 2)
    assert data[4:7] == bytes((0x80, 0x80, 0xA0))
    assert struct.unpack_from(">I", data, 16) == (5000,)
    assert data[20:] == b"PVDRIVER" + b"SIMH    " + b"SIMH tape image     "
    assert initiator.code("44 02 00 00 00 00 00 00 ff 00") == "05/24/00"
