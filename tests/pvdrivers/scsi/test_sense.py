"""Sense data against the tables of SPC-4 4.5, in both formats."""

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.scsi.sense import Field, Sense, SenseKey

u8 = st.integers(0, 255)
senses = st.builds(
    Sense,
    st.sampled_from(SenseKey),
    u8,
    u8,
    st.none() | st.integers(0, 0xFFFFFFFF),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([bytes(3), Field(2, 7).specific, Field(300, None, False).specific]),
    st.integers(0, 0xFFFFFFFF),
    st.booleans(),
)


@given(senses)
def test_both_formats_say_the_same(sense: Sense) -> None:
    assert len(sense.fixed()) == 18
    assert Sense.parse(sense.fixed()) == sense
    assert Sense.parse(sense.descriptor()) == sense


def test_fixed_format() -> None:
    sense = Sense(SenseKey.ILLEGAL_REQUEST, 0x24, 0x00, specific=Field(2, 3).specific)
    assert sense.fixed().hex(" ") == "70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 cb 00 02"
    sense = Sense(SenseKey.NO_SENSE, 0, 1, information=-5, filemark=True)
    assert sense.fixed().hex(" ") == "f0 00 80 ff ff ff fb 0a 00 00 00 00 00 01 00 00 00 00"


def test_descriptor_format() -> None:
    sense = Sense(SenseKey.MISCOMPARE, 0x1D, 0, information=0x123456789A)
    assert sense.descriptor().hex(" ") == (
        "72 0e 1d 00 00 00 00 0c 00 0a 80 00 00 00 00 12 34 56 78 9a"
    )
    assert sense.fixed()[0] == 0x70  # it does not fit, so there is none


@given(st.binary(max_size=64))
def test_any_bytes_are_sense_data_or_none(data: bytes) -> None:
    sense = Sense.parse(data)
    assert sense is None or sense.key <= 15


def test_what_is_cut_short() -> None:
    whole = Sense(SenseKey.MEDIUM_ERROR, 0x11, 0, information=7).descriptor()
    cut = Sense.parse(whole[:-4])
    assert cut is not None
    assert (cut.key, cut.information) == (SenseKey.MEDIUM_ERROR, None)
    assert Sense.parse(whole[:7]) is None
