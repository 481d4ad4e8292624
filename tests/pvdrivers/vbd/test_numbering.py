"""Names and numbers of disks, against the values of xen-vbd-interface(7) and libxl's habits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.vbd.numbering import DiskName, disk_of, name_of, number_of, parse_name

KNOWN = {
    "xvda": 51712,
    "xvda1": 51713,
    "xvda15": 51727,
    "xvdb": 51728,
    "xvdp": 51952,
    "xvdp15": 51967,
    "xvdq": 268439552,
    "xvda16": (1 << 28) + 16,
    "xvdq255": 268439552 + 255,
    "xvdz": (1 << 28) | 25 << 8,
    "xvdaa": (1 << 28) | 26 << 8,
    "xvdzz": (1 << 28) | 701 << 8,
    "xvdaaa": (1 << 28) | 702 << 8,
    "sda": 2048,
    "sda1": 2049,
    "sdp15": 2303,
    "hda": 768,
    "hda63": 831,
    "hdb": 832,
    "hdc": 5632,
    "hdd": 5696,
}


@pytest.mark.parametrize(("name", "number"), KNOWN.items())
def test_known_values_both_ways(name: str, number: int) -> None:
    assert number_of(name) == number
    assert name_of(number) == name


@pytest.mark.parametrize(
    ("name", "same"), [("d0", "xvda"), ("d0p1", "xvda1"), ("d16", "xvdq"), ("d26p200", "xvdaa200")]
)
def test_numbered_names_are_xvd_names(name: str, same: str) -> None:
    assert number_of(name) == number_of(same)


@pytest.mark.parametrize(
    "name",
    ["", "xvd", "xvda0", "xvdA", "xvda01", "xvda256", "sdq", "sda16", "hde", "hda64", "vda", "d",
     "d0p256", "d1048576", "xvdaaaaaa", "xvda 1", "xvda\n", "xvdä", "d٣"],
)  # fmt: skip
def test_names_without_a_number(name: str) -> None:
    with pytest.raises(ValueError, match=r"disk|disks"):
        number_of(name)


@pytest.mark.parametrize("number", [-1, 0, 1, 2047, 2304, 896, 5760, 51968, 2 << 28, 1 << 40])
def test_numbers_to_be_ignored(number: int) -> None:
    with pytest.raises(ValueError, match="not the number of a virtual disk"):
        disk_of(number)


@given(st.integers(0, (1 << 20) - 1), st.integers(0, 255))
def test_every_xvd_disk_comes_back(disk: int, partition: int) -> None:
    name = DiskName("xvd", disk, partition).name
    assert disk_of(number_of(name)) == parse_name(name) == DiskName("xvd", disk, partition)
    assert number_of(f"d{disk}p{partition}") == number_of(name)


@given(st.integers(0, 2 << 28))
def test_every_number_with_a_name_comes_back(number: int) -> None:
    try:
        disk = disk_of(number)
    except ValueError:
        return
    # A small disk may also be written in the extended form; its name means the short one.
    canonical = number_of(disk.name)
    assert disk_of(canonical) == disk
    assert canonical == number or number >= 1 << 28


@given(st.text("xvdshp0123456789a z\n٣", max_size=12))
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    try:
        number = number_of(text)
    except ValueError:
        return
    assert disk_of(number) == parse_name(text)
