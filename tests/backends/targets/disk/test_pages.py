"""A disk's INQUIRY, vital product data and mode pages, as sg3-utils reads them; and its sense."""

from __future__ import annotations

import struct

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.disk.block_unit import Limits
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from ..sg3_utils import decoded
from .conftest import BLOCKS, MakeDisk


def vpd(initiator: UnitInitiator, code: int) -> bytes:
    return initiator.good(bytes((0x12, 1, code, 0, 255, 0)))


def test_inquiry(initiator: UnitInitiator) -> None:
    text = decoded("sg_inq", initiator.good("12 00 00 00 ff 00"), "--inhex=-", "--descriptors")
    for expected in ("SBC-3", "Product identification: DISK", "PQual=0  PDT=0  RMB=0"):
        assert expected in text


def test_pages(initiator: UnitInitiator) -> None:
    assert [*vpd(initiator, 0)[4:]] == [0x00, 0x80, 0x83, 0x86, 0x87, 0x8F, 0xB0, 0xB1, 0xB2]
    text = decoded("sg_vpd", vpd(initiator, 0x86), "--inhex=-", "--page=ei")
    assert "V_SUP=1" in text
    assert "GROUP_SUP=1" in text
    text = decoded("sg_vpd", vpd(initiator, 0x8F), "--inhex=-", "--page=0x8f")
    for expected in (
        "Receive copy failure details(LID1)",
        "Maximum CSCD descriptor count: 16",
        "CSCD: Identification Descriptor [0xe4]",
    ):
        assert expected in text


def test_block_limits(make_disk: MakeDisk) -> None:
    limits = Limits(
        transfer=100, write_same=200, unmap=300, unmap_descriptors=40, compare_and_write=5
    )
    initiator = make_disk(RamStore(BLOCKS * 512), limits=limits)
    data = vpd(initiator, 0xB0)
    assert len(data) == 64
    text = decoded("sg_vpd", data, "--inhex=-", "--page=bl")
    for expected in (
        "WSNZ): 0",
        "Maximum compare and write length: 5 blocks",
        "Optimal transfer length granularity: 1 blocks",
        "Maximum transfer length: 100 blocks",
        "Optimal transfer length: 100 blocks",
        "Maximum unmap LBA count: 300",
        "Maximum unmap block descriptor count: 40",
        "Optimal unmap granularity: 1 blocks",
        "Unmap granularity alignment valid: true",
        "Maximum write same length: 0xc8 blocks",
    ):
        assert expected in text, text


@pytest.mark.parametrize("block_size", [512, 4096])
def test_the_optimal_transfer_is_one_that_initiators_take(
    make_disk: MakeDisk, block_size: int
) -> None:
    """Linux' sd ignores one that READ (10) has no room for, and says so in the guest's log."""
    data = vpd(make_disk(RamStore(BLOCKS * 512, block_size)), 0xB0)
    assert int.from_bytes(data[12:16]) == (512 << 10) // block_size


@pytest.mark.parametrize(
    ("page", "code", "expected"),
    [
        ("bdc", 0xB1, "Non-rotating medium (e.g. solid state)"),
        ("lbpv", 0xB2, "Logical block provisioning read zeros (LBPRZ): 1"),
        ("lbpv", 0xB2, "Unmap command supported (LBPU): 1"),
        ("lbpv", 0xB2, "Provisioning type: 2 (thin provisioned)"),
    ],
)
def test_pages_that_sg_vpd_reads(
    initiator: UnitInitiator, page: str, code: int, expected: str
) -> None:
    assert expected in decoded("sg_vpd", vpd(initiator, code), "--inhex=-", f"--page={page}")


# ---- mode pages --------------------------------------------------------------------------------


def test_mode_pages(initiator: UnitInitiator, block_size: int) -> None:
    data = initiator.good("1a 00 3f 00 ff 00")
    assert data[0] == len(data) - 1
    assert data[3:12] == b"\x08" + struct.pack(">II", BLOCKS, block_size)
    pages, rest = {}, data[12:]
    while rest:
        pages[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    assert {code: len(body) for code, body in pages.items()} == {
        0x01: 0x0A,
        0x02: 0x0E,
        0x08: 0x12,
        0x0A: 0x0A,
        0x1C: 0x0A,
    }
    assert pages[0x08][0] == 0x04  # WCE
    assert pages[0x1C][0] == 0x08  # DEXCPT


def test_what_is_changeable(initiator: UnitInitiator) -> None:
    changeable = initiator.good("1a 08 7f 00 ff 00")[4:]
    assert (
        changeable.hex()
        == ("010a" + "00" * 10 + "020e" + "00" * 14 + "081204" + "00" * 17 + "0a0a040008")
        + "00" * 7
        + "1c0a"
        + "00" * 10
    )


def test_a_long_block_descriptor(initiator: UnitInitiator, block_size: int) -> None:
    data = initiator.good("5a 10 08 00 00 00 00 00 ff 00")
    assert data[4] == 1
    assert data[8:24] == struct.pack(">QII", BLOCKS, 0, block_size)
    data = initiator.good("5a 00 08 00 00 00 00 00 ff 00")
    assert data[4] == 0
    assert data[8:16] == struct.pack(">II", BLOCKS, block_size)


@pytest.mark.parametrize("long", [False, True])
def test_selecting_the_size_there_is(initiator: UnitInitiator, block_size: int, long: bool) -> None:
    form, largest = (">QII", (1 << 64) - 1) if long else (">IHH", (1 << 32) - 1)

    def select(blocks: int, size: int) -> tuple[bytes, bytes]:
        descriptor = struct.pack(form, blocks, 0, size)
        header = struct.pack(">HBBBBH", 0, 0, 0, long, 0, len(descriptor))
        data = header + descriptor
        return struct.pack(">BB5xHx", 0x55, 0x10, len(data)), data

    for blocks in (0, BLOCKS, largest):
        initiator.good(*select(blocks, block_size))
    for blocks, size in ((BLOCKS - 1, block_size), (BLOCKS, 1024), (0, 0)):
        assert initiator.code(*select(blocks, size)) == "05/26/00"


# ---- sense data --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        (BlockRange(BLOCKS, 1).cdb(0x28), "Logical block address out of range"),
        (BlockRange(0, 1).cdb(0x28, 0x40), "Error in Command: byte 1 bit 6"),
        (bytes.fromhex("c9 00 00 00 00 00"), "Invalid command operation code"),
        (bytes.fromhex("42 00 00 00 00 00 00 00 04 00"), "Parameter list length error"),
    ],
)
@pytest.mark.parametrize("descriptor_format", [False, True])
def test_sense_as_sg3_utils_reads_it(
    initiator: UnitInitiator, cdb: bytes, expected: str, descriptor_format: bool
) -> None:
    if descriptor_format:
        page = bytes.fromhex("0a 0a 06 10") + bytes(8)
        initiator.good("15 10 00 00 10 00", bytes(4) + page)
    text = decoded("sg_decode_sense", initiator.run(cdb).sense, "--file=-")
    assert expected in text
    assert ("Descriptor format" in text) == descriptor_format
