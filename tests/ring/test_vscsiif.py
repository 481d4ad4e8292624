"""The SCSI protocol's codecs against `struct` formats written from the protocol's tables."""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib

SLOT = 252
HEAD = "<HBB16sHHHHHBB"
RESPONSE = "<HBB96siI"

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
cdbs = st.binary(min_size=16, max_size=16)
segments = st.lists(st.tuples(u32, u16, u16), max_size=26)


def decoded(slot: bytes) -> Any:
    """In memory that held something else."""
    request = ffi.new("struct pv_vscsiif_request *")
    ffi.memmove(request, b"\xcc" * ffi.sizeof(request[0]), ffi.sizeof(request[0]))
    lib.pv_vscsiif_decode_request(ffi.from_buffer(slot), request)
    return request


@given(u16, u8, u8, cdbs, st.tuples(u16, u16, u16, u16), u8, segments, st.booleans())
def test_requests(
    rqid: int,
    act: int,
    length: int,
    cdb: bytes,
    where: tuple[int, int, int, int],
    direction: int,
    segs: list[tuple[int, int, int]],
    indirect: bool,
) -> None:
    count = len(segs) | (lib.VSCSIIF_SG_GRANT if indirect else 0)
    slot = struct.pack(HEAD, rqid, act, length, cdb, 0, *where, direction, count)
    slot += b"".join(struct.pack("<IHH", *seg) for seg in segs)
    request = decoded(slot.ljust(SLOT, b"\xee"))
    assert (request.rqid, request.act, request.cmd_len) == (rqid, act, length)
    assert bytes(request.cmnd) == cdb
    assert (request.channel, request.id, request.lun, request.ref_rqid) == where
    assert (request.sc_data_direction, request.nr_segments) == (direction, count)
    got = [(seg.gref, seg.offset, seg.length) for seg in request.seg[0 : len(segs)]]
    assert got == segs

    head = slot.ljust(SLOT, b"\xee")[: lib.VSCSIIF_HEAD_SIZE]
    assert lib.pv_vscsiif_request_size(ffi.from_buffer(head)) == len(slot)

    again = ffi.new("uint8_t[]", b"\xaa" * SLOT)
    lib.pv_vscsiif_encode_request(request, again)
    assert bytes(ffi.buffer(again))[:SLOT] == slot.ljust(SLOT, b"\xaa")  # nothing else is written


@given(u16, u8, st.binary(max_size=96), st.integers(-(1 << 31), (1 << 31) - 1), u32)
def test_responses(rqid: int, act: int, sense: bytes, rslt: int, residual: int) -> None:
    expected = struct.pack(RESPONSE, rqid, act, len(sense), sense, rslt, residual)
    response = ffi.new("struct pv_vscsiif_response *")
    ffi.memmove(response, b"\xcc" * ffi.sizeof(response[0]), ffi.sizeof(response[0]))
    lib.pv_vscsiif_decode_response(ffi.from_buffer(expected.ljust(SLOT, b"\xee")), response)
    assert (response.rqid, response.act, response.sense_len) == (rqid, act, len(sense))
    assert bytes(response.sense)[: len(sense)] == sense
    assert (response.rslt, response.residual_len) == (rslt, residual)

    slot = ffi.new("uint8_t[]", b"\xaa" * SLOT)
    lib.pv_vscsiif_encode_response(response, slot)
    unused = slice(4 + len(sense), 100)  # keeps what was there
    written = bytearray(expected.ljust(SLOT, b"\xaa"))
    written[unused] = b"\xaa" * (96 - len(sense))
    assert bytes(ffi.buffer(slot))[:SLOT] == written
