"""Whatever commands come, a disk has the content that a byte array would have."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pvdrivers.backends.stores.store import BlockStore, FileStore, RamStore
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

BLOCKS = 64
RANGES = st.integers(0, BLOCKS - 1).flatmap(
    lambda lba: st.builds(BlockRange, st.just(lba), st.integers(0, min(BLOCKS - lba, 20)))
)
SOME = RANGES.filter(lambda some: some.blocks > 0)
BYTES = st.integers(0, 255)
UNMAP, NDOB = 0x08, 0x01


class Content(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    @initialize(size=st.sampled_from([512, 4096]), in_file=st.booleans())
    def begin(self, size: int, in_file: bool) -> None:
        self.size, self.expected = size, bytearray(BLOCKS * size)
        self.initiator = UnitInitiator(Disk(self._store(size, in_file), Identity.of("disk")))

    def _store(self, size: int, in_file: bool) -> BlockStore:
        if not in_file:
            return RamStore(BLOCKS * size, size)
        path = Path(self.folder.name) / "image"
        path.write_bytes(bytes(BLOCKS * size))
        return FileStore(path, threads=0, sector_size=size)

    def place(self, some: BlockRange) -> slice:
        return slice(some.lba * self.size, (some.lba + some.blocks) * self.size)

    def data(self, some: BlockRange, byte: int) -> bytes:
        return b"".join(bytes([(byte + i) % 256]) * self.size for i in range(some.blocks))

    @rule(some=SOME, byte=BYTES, opcode=st.sampled_from([0x0A, 0x2A, 0xAA, 0x8A, 0x2E, 0x8E]))
    def write(self, some: BlockRange, byte: int, opcode: int) -> None:
        self.initiator.good(some.cdb(opcode), self.data(some, byte))
        self.expected[self.place(some)] = self.data(some, byte)

    @rule(some=SOME, opcode=st.sampled_from([0x08, 0x28, 0xA8, 0x88]))
    def read(self, some: BlockRange, opcode: int) -> None:
        assert self.initiator.good(some.cdb(opcode)) == self.expected[self.place(some)]

    @rule(some=RANGES, byte=BYTES)
    def orwrite(self, some: BlockRange, byte: int) -> None:
        data = self.data(some, byte)
        self.initiator.good(some.cdb(0x8B), data)
        place = self.place(some)
        pairs = zip(self.expected[place], data, strict=True)
        self.expected[place] = bytes(a | b for a, b in pairs)

    @rule(some=RANGES, byte=BYTES, wrong=st.none() | st.integers(0))
    def compare_and_write(self, some: BlockRange, byte: int, wrong: int | None) -> None:
        some = BlockRange(some.lba, min(some.blocks, 65536 // self.size))
        old, new = bytearray(self.expected[self.place(some)]), self.data(some, byte)
        if wrong is not None and some.blocks:
            old[wrong % len(old)] ^= 0xFF
            sense = self.initiator.sense(some.cdb(0x89), bytes(old + new))
            assert sense.information == wrong % len(old)
            return
        self.initiator.good(some.cdb(0x89), bytes(old + new))
        self.expected[self.place(some)] = new

    @rule(ranges=st.lists(RANGES, max_size=5))
    def unmap(self, ranges: list[BlockRange]) -> None:
        data = struct.pack(">HH4x", 6 + 16 * len(ranges), 16 * len(ranges))
        data += b"".join(struct.pack(">QIxxxx", *some) for some in ranges)
        self.initiator.good(b"\x42" + bytes(6) + struct.pack(">Hx", len(data)), data)
        for some in ranges:
            self.expected[self.place(some)] = bytes(some.blocks * self.size)

    @rule(
        some=SOME,
        byte=st.just(0) | BYTES,
        opcode=st.sampled_from([0x41, 0x93]),
        flags=st.sampled_from([0, UNMAP, NDOB, NDOB | UNMAP]),
    )
    def write_same(self, some: BlockRange, byte: int, opcode: int, flags: int) -> None:
        if opcode == 0x41:
            flags &= ~NDOB
        if flags & NDOB:
            byte = 0
        block = bytes([byte]) * self.size
        self.initiator.good(some.cdb(opcode, flags), b"" if flags & NDOB else block)
        self.expected[self.place(some)] = block * some.blocks

    @rule(some=RANGES, opcode=st.sampled_from([0x2F, 0x8F]))
    def verify(self, some: BlockRange, opcode: int) -> None:
        self.initiator.good(some.cdb(opcode, 0x02), bytes(self.expected[self.place(some)]))

    @rule()
    def unmapped_is_zero(self) -> None:
        data = self.initiator.good(struct.pack(">BBQIxx", 0x9E, 0x12, 0, 0x10000))
        place = 0
        for lba, blocks, status in struct.iter_unpack(">QIBxxx", data[8:]):
            assert lba == place
            place += blocks
            if status:
                assert not any(self.expected[self.place(BlockRange(lba, blocks))])
        assert place == BLOCKS

    @invariant()
    def all_of_it(self) -> None:
        assert self.initiator.good(BlockRange(0, BLOCKS).cdb(0x88)) == self.expected

    def teardown(self) -> None:
        self.initiator.unit.close()
        self.folder.cleanup()


TestContent = Content.TestCase
TestContent.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
