"""A command's data: every split an initiator may choose arrives whole, and no other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbridge.iscsi.parameters import Parameters
from pvdrivers.tools.pvbridge.iscsi.pdu import NO_TAG, Opcode, Pdu, ProtocolError
from pvdrivers.tools.pvbridge.iscsi.transfer import WriteData

TAG = 9
sizes = st.integers(512, 3000)


def command(length: int, immediate: bytes = b"", final: bool = True) -> Pdu:
    pdu = Pdu.of(Opcode.SCSI_COMMAND, 1, 0xA0 if final else 0x20)
    pdu.transfer_tag = length
    pdu.data = immediate
    return pdu


def data_out(offset: int, data: bytes, tag: int, final: bool, number: int = 0) -> Pdu:
    pdu = Pdu.of(Opcode.DATA_OUT, 1, 0x80 if final else 0)
    pdu.transfer_tag = tag
    pdu.buffer_offset = offset
    pdu.data_sn = number
    pdu.data = data
    return pdu


@given(st.data(), st.binary(max_size=10000), sizes, sizes, st.booleans())
def test_any_allowed_split(
    data: st.DataObject, content: bytes, burst: int, first: int, unsolicited: bool
) -> None:
    parameters = Parameters(
        max_burst=burst, first_burst=min(first, burst), initial_r2t=not unsolicited
    )
    limit = min(parameters.first_burst, len(content))
    place = data.draw(st.integers(0, limit))
    more = unsolicited and place < limit
    write = WriteData(command(len(content), content[:place], not more), parameters, TAG)
    if more:
        end = data.draw(st.integers(place, limit))
        for number, (start, stop) in enumerate(split(data, place, end)):
            write.add(data_out(start, content[start:stop], NO_TAG, stop == end, number))
        place = end
    while r2t := write.next_r2t():
        assert write.next_r2t() is None  # one at a time
        assert r2t.buffer_offset == place
        assert r2t.residual == min(burst, len(content) - place)
        end = place + r2t.residual
        for number, (start, stop) in enumerate(split(data, place, end)):
            write.add(data_out(start, content[start:stop], TAG, stop == end, number))
        place = end
    assert write.complete
    assert bytes(write.data) == content


def split(data: st.DataObject, start: int, end: int) -> list[tuple[int, int]]:
    """Pieces of what lies between, one after the other."""
    inside = st.sets(st.integers(start + 1, end - 1), max_size=4)
    points = [start, *sorted(data.draw(inside) if end - start > 1 else ()), end]
    return list(pairwise(points))


SMALL = Parameters(max_burst=1024, first_burst=512)


def test_immediate_data_that_were_not_agreed() -> None:
    with pytest.raises(ProtocolError, match="immediate"):
        WriteData(command(10, b"x"), Parameters(immediate_data=False), TAG)


def test_unsolicited_data_that_were_not_agreed() -> None:
    with pytest.raises(ProtocolError, match="unsolicited"):
        WriteData(command(10, final=False), SMALL, TAG)


def test_more_immediate_data_than_a_first_burst() -> None:
    with pytest.raises(ProtocolError, match="may come"):
        WriteData(command(2000, bytes(513)), SMALL, TAG)


@pytest.mark.parametrize(
    "pdu",
    [
        data_out(0, bytes(512), NO_TAG, True),  # not asked for in this way
        data_out(0, bytes(512), TAG + 1, True),
        data_out(512, bytes(512), TAG, False),  # not the next
        data_out(0, bytes(1025), TAG, True),  # more than was asked for
        data_out(0, bytes(512), TAG, True),  # the sequence ends too early
        data_out(0, bytes(1024), TAG, True, 1),  # another has been lost
    ],
)
def test_data_that_cannot_be(pdu: Pdu) -> None:
    write = WriteData(command(2000), SMALL, TAG)
    assert write.next_r2t()
    with pytest.raises(ProtocolError):
        write.add(pdu)
