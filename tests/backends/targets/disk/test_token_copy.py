"""Copies by tokens, within a disk and between disks, and when a token is no good any more."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.targets.disk import tokens
from pvdrivers.backends.targets.disk.tokens import CHANGE_VULNERABLE, MAX_TOKENS, ZERO
from pvdrivers.ring.abi import SECTOR
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.persistent_reserve import Out, reserve_out
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .test_third_party_copy import BLOCKS, Pair

Ranges = Sequence[tuple[int, int]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one = Pair()
    yield one
    for disk in one.disks:
        disk.close()


def encoded(ranges: Ranges) -> bytes:
    return b"".join(struct.pack(">QI4x", *one) for one in ranges)


def populate_list(ranges: Ranges, *, kind: int | None = None, timeout: int = 0) -> bytes:
    data = encoded(ranges)
    flags = 0 if kind is None else 0x02
    return struct.pack(">HBxIIxxH", 14 + len(data), flags, timeout, kind or 0, len(data)) + data


def write_list(token: bytes, ranges: Ranges, *, offset: int = 0, delete: bool = False) -> bytes:
    data = encoded(ranges)
    head = struct.pack(">HB5xQ", 534 + len(data), 0x02 if delete else 0, offset)
    return head + token + struct.pack(">6xH", len(data)) + data


def cdb(action: int, data: bytes, identifier: int = 1) -> bytes:
    return struct.pack(">BB4xIIxx", 0x83, action, identifier, len(data))


def information(initiator: UnitInitiator, identifier: int = 1) -> bytes:
    data = initiator.good(struct.pack(">BBI4xIxx", 0x84, 7, identifier, 4096))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    return data


def populate(initiator: UnitInitiator, ranges: Ranges, **options: int) -> bytes:
    data = populate_list(ranges, **options)
    initiator.good(cdb(0x10, data), data)
    told = information(initiator)
    assert told[4:6] == b"\x10\x01"
    assert int.from_bytes(told[16:24], "big") == sum(count for _, count in ranges)
    assert told[32:36] == struct.pack(">I", 514)
    return told[38:]


def write(initiator: UnitInitiator, token: bytes, ranges: Ranges, **options: int) -> None:
    data = write_list(token, ranges, **options)
    initiator.good(cdb(0x11, data), data)


def code(initiator: UnitInitiator, action: int, data: bytes) -> str:
    return initiator.code(cdb(action, data), data)


def refused(initiator: UnitInitiator, token: bytes, ranges: Ranges = ((0, 1),)) -> str:
    return code(initiator, 0x11, write_list(token, ranges))


RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), min_size=1, max_size=4)


@settings(deadline=None)
@given(source=RANGES, numbers=st.data())
def test_the_other_disk_gets_what_the_token_stands_for(
    source: list[tuple[int, int]], numbers: st.DataObject
) -> None:
    pair = Pair()
    content = pair.content(0)
    stood_for = b"".join(content[lba * SECTOR : (lba + count) * SECTOR] for lba, count in source)
    total = sum(count for _, count in source)
    offset = numbers.draw(st.integers(0, total - 1))
    first = numbers.draw(st.integers(1, total - offset))
    ranges = [(3, min(first, 20)), (30, min(total - offset - first, 20))]
    token = populate(pair.initiators[0], source)
    expected = bytearray(pair.content(1))
    for lba, count in ranges:
        part = stood_for[offset * SECTOR :][: count * SECTOR]
        expected[lba * SECTOR : (lba + count) * SECTOR] = part
        stood_for = stood_for[: offset * SECTOR] + stood_for[(offset + count) * SECTOR :]
    write(pair.initiators[1], token, ranges, offset=offset)
    assert pair.content(1) == expected
    told = information(pair.initiators[1])
    assert told[4:6] == b"\x11\x01"
    assert int.from_bytes(told[16:24], "big") == sum(count for _, count in ranges)


CHANGES = {
    "WRITE(10)": ("2a 00 00 00 00 07 00 00 01 00", bytes(SECTOR)),
    "UNMAP": (
        "42 00 00 00 00 00 00 00 18 00",
        "00 16 00 10 00000000 0000000000000007 00000001" + "00" * 4,
    ),
    "WRITE SAME(16)": ("93 08 00 00 00 00 00 00 00 00 00 00 00 40 00 00", bytes(SECTOR)),
    "FORMAT UNIT": ("04 00 00 00 00 00", b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_write_to_its_blocks_revokes_a_token(pair: Pair, change: str) -> None:
    source, other = pair.initiators
    token, elsewhere = populate(source, [(0, 2), (7, 1)]), populate(source, [(4, 3)])
    before = pair.content(1)
    source.good(*CHANGES[change])
    assert refused(other, token) == "05/23/06"
    assert pair.content(1) == before
    if "SAME" in change or "FORMAT" in change:
        assert refused(other, elsewhere) == "05/23/06"
    else:
        write(other, elsewhere, [(0, 1)])


def test_no_write_passes_a_token_by(pair: Pair) -> None:
    source, disk = pair.initiators[0], pair.disks[0]
    assert disk.direct_access(source.nexus) == (True, True)
    token = populate(source, [(0, 2)])
    assert disk.direct_access(source.nexus) == (True, False)
    write(source, token, [(8, 1)], delete=True)
    assert disk.direct_access(source.nexus) == (True, True)
    assert refused(source, token) == "05/23/04"
    populate(source, [(0, 2)])
    source.good(BlockRange(1, 1).cdb(0x2A), bytes(SECTOR))
    assert disk.direct_access(source.nexus) == (True, True)


def test_a_token_that_nobody_uses_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(tokens.time, "monotonic", lambda: now)
    source = pair.initiators[0]
    token = populate(source, [(0, 2)], timeout=10)
    for _ in range(3):
        now += 9
        write(pair.initiators[1], token, [(0, 1)])
    now += 11
    assert pair.disks[0].direct_access(source.nexus) == (True, True)
    assert refused(pair.initiators[1], token) == "05/23/04"


def test_more_tokens_than_there_may_be(pair: Pair) -> None:
    first, *rest = [populate(pair.initiators[0], [(0, 1)]) for _ in range(MAX_TOKENS + 1)]
    assert refused(pair.initiators[1], first) == "05/23/04"
    write(pair.initiators[1], rest[0], [(0, 1)])


def test_the_token_of_zeros(pair: Pair) -> None:
    token = struct.pack(">IHH", ZERO, 0, 0x1F8).ljust(512, b"\0")
    write(pair.initiators[0], token, [(3, 2)])
    content = pair.content(0)
    assert content[2 * SECTOR : 6 * SECTOR] == b"\2" * SECTOR + bytes(2 * SECTOR) + b"\5" * SECTOR


def test_tokens_that_are_none(pair: Pair) -> None:
    one = pair.initiators[0]
    token = populate(one, [(0, 1)])
    assert refused(one, bytes(512)) == "05/23/01"
    assert refused(one, token[:7] + b"\0" + token[8:]) == "05/23/0a"
    assert refused(one, token[:-1] + b"\1") == "05/23/04"  # a guess
    pair.disks[1].find_copy_target = None
    assert refused(pair.initiators[1], token) == "05/23/04"


def test_lists_that_are_refused(pair: Pair) -> None:
    one = pair.initiators[0]
    token = populate(one, [(0, 4)])
    good = populate_list([(0, 1)])
    for data in (good[:15], b"\0\0" + good[2:]):
        assert code(one, 0x10, data) == "05/1a/00"
    assert code(one, 0x10, populate_list([])) == "05/26/00"
    assert code(one, 0x10, populate_list([(0, 0)])) == "05/26/00"
    assert code(one, 0x10, populate_list([(0, 1)] * 65)) == "05/26/08"
    assert code(one, 0x10, populate_list([(BLOCKS, 1)])) == "05/21/00"
    assert code(one, 0x10, populate_list([(0, 1)], timeout=601)) == "05/26/00"
    assert code(one, 0x10, populate_list([(0, 1)], kind=0x00800000)) == "05/26/00"
    populate(one, [(0, 1)], kind=CHANGE_VULNERABLE)
    assert code(one, 0x11, write_list(token, [(8, 4)], offset=1)) == "05/26/00"  # not all there
    assert refused(one, token, [(3, 1)]) == "05/26/00"  # on itself
    told = information(one)
    assert told[4:6] == b"\x11\x02"
    assert told[32 + 2] == 0x05  # the sense key, in fixed format
    assert one.code("84 07 00 00 00 09" + "00" * 10) == "05/24/00"


def test_the_sources_reservation_holds(pair: Pair) -> None:
    token = populate(pair.initiators[0], [(0, 1)])
    owner = UnitInitiator(pair.disks[0], "owner")
    reserve_out(owner, Out.REGISTER, 0, 1)
    reserve_out(owner, Out.RESERVE, 1, 0, 3)  # exclusive access
    assert refused(pair.initiators[1], token) == "0a/0d/01"
