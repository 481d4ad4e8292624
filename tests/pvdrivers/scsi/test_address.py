"""H:C:T:L, as p-dev and v-dev have it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.scsi.address import ScsiAddress

numbers = st.integers(0, 65535)


@given(numbers, numbers, numbers, numbers)
def test_an_address_is_read_as_it_is_written(h: int, c: int, t: int, lun: int) -> None:
    address = ScsiAddress(h, c, t, lun)
    assert str(address) == f"{h}:{c}:{t}:{lun}"
    assert ScsiAddress.parse(str(address)) == address


TOO_FEW, TOO_MANY = ("", "0:0:0"), ("0:0:0:0:0", "0:0:0:65536")
NO_NUMBERS = ("0:0:0:x", "-1:0:0:0", "\u0660:0:0:0", "0:0:0:0 ")


@pytest.mark.parametrize("text", [*TOO_FEW, *TOO_MANY, *NO_NUMBERS])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no SCSI address"):
        ScsiAddress.parse(text)
