"""CRC-32C against RFC 3720's vectors and a bit-by-bit implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import lib

IMPLEMENTATIONS = pytest.mark.parametrize("crc32c", [lib.pv_crc32c, lib.pv_crc32c_portable])


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@IMPLEMENTATIONS
@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_vectors(crc32c, data, crc):
    assert crc32c(0, data, len(data)) == crc


@IMPLEMENTATIONS
@given(data=st.binary(max_size=300), split=st.integers(0, 300))
def test_any_data_in_any_two_pieces(crc32c, data, split):
    first, second = data[:split], data[split:]
    crc = crc32c(crc32c(0, first, len(first)), second, len(second))
    assert crc == bit_by_bit(data)
