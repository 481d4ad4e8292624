"""The block protocol's codecs against `struct` formats written from the protocol's tables."""

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.ring import Abi

READ, WRITE, BARRIER, FLUSH, PACKET, DISCARD, INDIRECT = range(7)

# Head of a request up to its segments; x86_32 has no gap before the 64-bit id.
GAP = {Abi.X86_64: "4x", Abi.X86_32: "", Abi.IA64: "4x"}
SLOT = {Abi.X86_64: 112, Abi.X86_32: 108, Abi.IA64: 112}
RESPONSE = {Abi.X86_64: "<QBxh4x", Abi.X86_32: "<QBxh", Abi.IA64: "<QBxh4x"}

abis = st.sampled_from(list(Abi))
u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
segments = st.lists(st.tuples(u32, u8, u8), max_size=11)
direct = st.sampled_from([READ, WRITE, BARRIER, FLUSH])


def encoded(abi: Abi, request: Any) -> bytes:
    """The slot as our encoder writes it over old content."""
    slot = ffi.new("uint8_t[]", b"\xaa" * SLOT[abi] + b"\xbb" * 16)
    lib.pv_blkif_encode_request(abi, request, slot)
    written = bytes(ffi.buffer(slot))
    assert written[SLOT[abi] : SLOT[abi] + 16] == b"\xbb" * 16
    return written[: SLOT[abi]]


def over_old(abi: Abi, used: bytes) -> bytes:
    """A slot of which a request uses so much: padding is written too, the rest is left."""
    return used.ljust(SLOT[abi], b"\xaa")


def fits_head(slot: bytes) -> bool:
    """Asked with nothing behind the head to look at."""
    return bool(lib.pv_blkif_fits_head(ffi.from_buffer(slot[: lib.BLKIF_HEAD_SIZE])))


def decoded(abi: Abi, slot: bytes) -> Any:
    """The request our decoder sees, in memory that held something else."""
    request = ffi.new("struct pv_blkif_request *")
    ffi.memmove(request, b"\xcc" * ffi.sizeof(request[0]), ffi.sizeof(request[0]))
    lib.pv_blkif_decode_request(abi, ffi.from_buffer(slot.ljust(SLOT[abi], b"\0")), request)
    return request


def test_slot_sizes() -> None:
    assert {abi: lib.pv_blkif_slot_size(abi) for abi in Abi} == SLOT


@given(abis, direct, u16, u64, u64, segments)
def test_direct(
    abi: Abi, op: int, handle: int, id_: int, sector: int, segs: list[tuple[int, int, int]]
) -> None:
    slot = struct.pack(f"<BBH{GAP[abi]}QQ", op, len(segs), handle, id_, sector)
    slot += b"".join(struct.pack("<IBBxx", *seg) for seg in segs)
    request = decoded(abi, slot)
    assert (request.operation, request.nr_segments, request.handle) == (op, len(segs), handle)
    assert (request.id, request.sector_number) == (id_, sector)
    got = [(seg.gref, seg.first_sect, seg.last_sect) for seg in request.seg[0 : len(segs)]]
    assert got == segs
    assert encoded(abi, request) == over_old(abi, slot)
    assert len(slot) <= lib.BLKIF_HEAD_SIZE or not fits_head(slot)


@given(abis, direct, u64, u64, segments)
def test_a_head_that_suffices_decodes_as_the_whole_slot(
    abi: Abi, op: int, id_: int, sector: int, segs: list[tuple[int, int, int]]
) -> None:
    slot = struct.pack(f"<BBH{GAP[abi]}QQ", op, len(segs), 0, id_, sector)
    slot += b"".join(struct.pack("<IBBxx", *seg) for seg in segs)
    assert fits_head(slot.ljust(32, b"\0")) == (len(segs) <= 1)
    if len(segs) <= 1:
        request = decoded(abi, slot[: lib.BLKIF_HEAD_SIZE].ljust(SLOT[abi], b"\xee"))
        assert encoded(abi, request) == over_old(abi, slot)


@given(abis, direct, st.integers(12, 255))
def test_a_count_beyond_the_slot_is_kept_and_not_followed(abi: Abi, op: int, count: int) -> None:
    """The caller refuses it; the codec does not read past the slot (ASan watches in C)."""
    slot = struct.pack(f"<BBH{GAP[abi]}QQ", op, count, 0, 1, 2) + b"\1" * 88
    request = decoded(abi, slot)
    assert request.nr_segments == count
    assert [seg.gref for seg in request.seg] == [0x01010101] * 11


@given(abis, u8, u16, u64, u64, u64)
def test_discard(abi: Abi, flag: int, handle: int, id_: int, sector: int, count: int) -> None:
    slot = struct.pack(f"<BBH{GAP[abi]}QQQ", DISCARD, flag, handle, id_, sector, count)
    request = decoded(abi, slot)
    assert (request.operation, request.discard_flags, request.handle) == (DISCARD, flag, handle)
    assert (request.id, request.sector_number, request.nr_sectors) == (id_, sector, count)
    assert encoded(abi, request) == over_old(abi, slot)
    assert len(slot) <= lib.BLKIF_HEAD_SIZE or not fits_head(slot)


@given(abis, u8, u16, u16, u64, u64, st.lists(u32, min_size=8, max_size=8))
def test_indirect(
    abi: Abi, op: int, count: int, handle: int, id_: int, sector: int, grefs: list[int]
) -> None:
    layout = f"<BBH{GAP[abi]}QQHxx8I"
    slot = struct.pack(layout, INDIRECT, op, count, id_, sector, handle, *grefs)
    request = decoded(abi, slot)
    assert (request.operation, request.indirect_op, request.nr_segments) == (INDIRECT, op, count)
    assert (request.id, request.sector_number, request.handle) == (id_, sector, handle)
    assert list(request.indirect_grefs) == grefs
    assert encoded(abi, request) == over_old(abi, slot)
    assert len(slot) <= lib.BLKIF_HEAD_SIZE or not fits_head(slot)


@given(abis, st.just(PACKET) | st.integers(7, 255), u64, st.binary(max_size=80))
def test_an_unknown_operation_keeps_its_id(abi: Abi, op: int, id_: int, rest: bytes) -> None:
    request = decoded(abi, struct.pack(f"<B3x{GAP[abi]}Q", op, id_) + rest)
    assert (request.operation, request.id, request.nr_segments) == (op, id_, 0)
    assert encoded(abi, request) == over_old(abi, struct.pack(f"<B3x{GAP[abi]}Q", op, id_))
    assert fits_head(struct.pack(f"<B3x{GAP[abi]}Q", op, id_) + bytes(32))


@settings(max_examples=200)
@given(abis, u64, u8, st.integers(-0x8000, 0x7FFF))
def test_response(abi: Abi, id_: int, op: int, status: int) -> None:
    """Every byte of the response is written, the rest of the slot is left."""
    size = struct.calcsize(RESPONSE[abi])
    slot = ffi.new("uint8_t[]", b"\xaa" * SLOT[abi])
    response = ffi.new("struct pv_blkif_response *", {"id": id_, "operation": op, "status": status})
    lib.pv_blkif_encode_response(abi, response, slot)
    assert bytes(ffi.buffer(slot)) == (
        struct.pack(RESPONSE[abi], id_, op, status) + b"\xaa" * (SLOT[abi] - size) + b"\0"
    )
    back = ffi.new("struct pv_blkif_response *")
    lib.pv_blkif_decode_response(abi, slot, back)
    assert (back.id, back.operation, back.status) == (id_, op, status)
