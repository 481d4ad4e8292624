"""LUNs as eight bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.scsi.lun import MAX_FLAT, decode_lun, decode_report, encode_lun, encode_report


def test_luns_beyond_a_byte() -> None:
    assert len({encode_lun(lun) for lun in (0, 255, 256, 0x3FFF, 0x4000, 0xFFFF)}) == 6
    assert all(len(encode_lun(lun)) == 8 for lun in (0, 256, 0xFFFF))


@pytest.mark.parametrize(
    ("lun", "encoded"),
    [
        (0xFF, "00ff000000000000"),
        (0x100, "4100000000000000"),
        (0x3FFF, "7fff000000000000"),
        (0x4000, "d200400000000000"),
    ],
)
def test_the_shortest_form_is_used(lun: int, encoded: str) -> None:
    assert encode_lun(lun).hex() == encoded


@given(st.integers(0, MAX_FLAT))
def test_a_lun_comes_back(lun: int) -> None:
    assert decode_lun(encode_lun(lun)) == lun


@pytest.mark.parametrize(
    "encoded",
    [
        "0101000000000000",  # another bus
        "0001000100000000",  # a second level
        "0001000000000001",
        "8001000000000000",  # logical unit addressing
        "d200400000000000",  # extended flat space addressing
    ],
)
def test_other_ways_to_address(encoded: str) -> None:
    assert decode_lun(bytes.fromhex(encoded)) is None


def test_a_flat_lun_below_256() -> None:
    assert decode_lun(bytes.fromhex("4005000000000000")) == 5


def test_a_report_begins_with_its_length() -> None:
    assert encode_report(
        [1, 2]
    ).hex() == "00000010 00000000 0001000000000000 0002000000000000".replace(" ", "")
    assert encode_report([]) == bytes(8)


def test_a_report_comes_back_as_far_as_it_goes() -> None:
    report = encode_report([0, 7, 0x4000, 300])
    assert decode_report(report) == [0, 7, 300]
    assert decode_report(report + bytes(8)) == [0, 7, 300]
    assert decode_report(report[:-1]) == decode_report(report[:24]) == [0, 7]
    assert decode_report(b"") == []
