"""LUNs as eight bytes."""

import pytest

from pvdrivers.scsi.lun import encode_lun, encode_report


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


def test_a_report_begins_with_its_length() -> None:
    assert encode_report(
        [1, 2]
    ).hex() == "00000010 00000000 0001000000000000 0002000000000000".replace(" ", "")
    assert encode_report([]) == bytes(8)
