"""rslt: status, host byte, and what old backends put elsewhere."""

import pytest

from pvdrivers.scsi.result import HostByte, Result, Status


@pytest.mark.parametrize(
    ("word", "status", "host"),
    [
        (0x00000000, Status.GOOD, HostByte.OK),
        (0x00000002, Status.CHECK_CONDITION, HostByte.OK),
        (0x00000018, Status.RESERVATION_CONFLICT, HostByte.OK),
        (0x00010000, Status.GOOD, HostByte.NO_CONNECT),
        (0x00070000, Status.GOOD, HostByte.ERROR),
    ],
)
def test_results(word: int, status: int, host: int) -> None:
    assert Result.of(word) == (status, host)
    assert Result(status, host).word == word


@pytest.mark.parametrize("word", [0x07000000, 0x01000000, -0x80000000])
def test_an_old_backends_error_in_the_highest_byte_is_a_failure(word: int) -> None:
    """DRIVER_ERROR << 24 and DID_NO_CONNECT << 24, with a host byte of 0."""
    assert Result.of(word).host == HostByte.ERROR


def test_an_old_backend_that_has_sense_data_says_so_in_the_highest_byte() -> None:
    """DRIVER_SENSE << 24: the command has reached the unit, which answered."""
    assert Result.of(0x08000002) == (Status.CHECK_CONDITION, HostByte.OK)
