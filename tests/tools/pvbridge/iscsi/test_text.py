"""Keys and values on the wire, and what is none."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbridge.iscsi.pdu import ProtocolError
from pvdrivers.tools.pvbridge.iscsi.text import decode, encode, number

keys = st.text("ABCdef_-", min_size=1, max_size=63)
values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


@given(st.dictionaries(keys, values))
def test_what_is_encoded_is_decoded(pairs: dict[str, str]) -> None:
    assert decode(encode(pairs)) == pairs


@pytest.mark.parametrize(
    "data", [b"novalue\0", b"=x\0", b"a=1\0a=2\0", b"a=\xff\0", b"\xff=1\0", b"k" * 64 + b"=1\0"]
)
def test_what_is_no_text(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(value, str) for value in decode(data).values())


def test_numbers() -> None:
    assert number({"A": "4096"}, "A", 1) == 4096
    assert number({"A": "0x1000"}, "A", 1) == 4096
    assert number({}, "A", 1) == 1
    for text in ("", "-1", "1_0", "x", "0x", "1 "):
        with pytest.raises(ProtocolError):
            number({"A": text}, "A", 1)
