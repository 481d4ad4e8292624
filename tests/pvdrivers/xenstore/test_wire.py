import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.xenstore.errors import WIRE_ERRORS, ProtocolError
from pvdrivers.xenstore.wire import (
    ABS_PATH_MAX,
    PAYLOAD_MAX,
    REL_PATH_MAX,
    Decoder,
    Message,
    MessageType,
    encode,
)

XS_WIRE = Path("/usr/include/xen/io/xs_wire.h")

messages = st.builds(
    Message,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300) | st.just(b"x" * PAYLOAD_MAX),
)


def drain(decoder):
    taken = []
    while (message := decoder.next_message()) is not None:
        taken.append(message)
    return taken


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 700), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_messages(sent, cuts):
    stream = b"".join(map(encode, sent))
    decoder, received, position = Decoder(), [], 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        decoder.feed(stream[position : position + size])
        received += drain(decoder)
        position += size
    assert received == sent
    assert decoder.buffered == 0


@pytest.mark.parametrize("length", [PAYLOAD_MAX + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_an_illegal_length_is_seen_in_the_header_alone(length):
    """XSA-420: 0x80000000 and above are negative to a careless reader."""
    decoder = Decoder()
    decoder.feed(struct.pack("<IIII", 2, 1, 0, length))
    with pytest.raises(ProtocolError):
        decoder.next_message()


def test_a_payload_too_long_is_the_callers_mistake():
    with pytest.raises(ValueError, match="4097"):
        encode(Message(2, 1, 0, b"x" * 4097))


@pytest.fixture(scope="module")
def xs_wire():
    if not XS_WIRE.exists():
        pytest.skip("needs xen/io/xs_wire.h (Debian package libxen-dev)")
    return XS_WIRE.read_text()


def test_types_are_those_of_the_official_header(xs_wire):
    enum = re.search(r"enum xsd_sockmsg_type\s*{(.*?)};", xs_wire, re.DOTALL).group(1)
    enum = re.sub(r"/\*.*?\*/|#.*?\n", "", enum, flags=re.DOTALL)
    values, value = {}, -1
    for entry in filter(None, map(str.strip, enum.split(","))):
        name, _, expression = entry.replace(" ", "").partition("=")
        value = eval(expression, {}, values) if expression else value + 1
        values[name] = value
    ours = {f"XS_{kind.name}": kind.value for kind in MessageType}
    official = {name: values[name] for name in ours if name in values}
    assert official.items() <= ours.items()
    newer = {"XS_GET_FEATURE", "XS_SET_FEATURE", "XS_GET_QUOTA", "XS_SET_QUOTA"}
    assert ours.keys() - values.keys() <= newer
    assert values.keys() - ours.keys() <= {"XS_DEBUG", "XS_TYPE_COUNT"}


def test_limits_and_error_names_are_those_of_the_official_header(xs_wire):
    defined = dict(re.findall(r"#define (XENSTORE_\w+)\s+(\d+)$", xs_wire, re.MULTILINE))
    assert int(defined["XENSTORE_PAYLOAD_MAX"]) == PAYLOAD_MAX
    assert int(defined["XENSTORE_ABS_PATH_MAX"]) == ABS_PATH_MAX
    assert int(defined["XENSTORE_REL_PATH_MAX"]) == REL_PATH_MAX
    assert re.findall(r"XSD_ERROR\((E\w+)\)", xs_wire) == WIRE_ERRORS
