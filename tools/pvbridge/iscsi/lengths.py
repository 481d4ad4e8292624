"""Commands whose initiator expects less data than they move (RFC 7143, section 11.4.5).

The ring of a guest has no room for what nobody expects, so such a command goes over it with room
for all that it reads, or with as many whole blocks as there are to write. What is left out is the
residual overflow.
"""

from __future__ import annotations

from typing import NamedTuple

from pvdrivers.scsi.block_range import BlockRange

READS = {0x08, 0x28, 0xA8, 0x88}  # READ 6, 10, 12, 16
WRITES = {0x0A, 0x2A, 0xAA, 0x8A, 0x2E, 0xAE, 0x8E}  # WRITE; WRITE AND VERIFY


class Fitted(NamedTuple):
    """`overflow`: bytes that the command would move and nobody expects."""

    cdb: bytes
    room: int
    overflow: int = 0


def fit(cdb: bytes, expected: int, reads: bool, block_size: int, limit: int) -> Fitted:
    """A command and room for its data. `block_size`: bytes; 0: the unit has no blocks. `limit`: of
    one command's data, bytes."""
    room = expected if reads else 0
    opcode = cdb[0]
    if not block_size or opcode not in READS | WRITES:
        return Fitted(cdb, room)
    wanted = BlockRange.of(cdb).blocks * block_size
    if not expected < wanted <= limit:
        return Fitted(cdb, room)
    if opcode in READS:
        return Fitted(cdb, wanted, wanted - expected)
    return Fitted(_with_blocks(cdb, expected // block_size), 0, wanted - expected)


def _with_blocks(cdb: bytes, blocks: int) -> bytes:
    """A 6-byte CDB cannot say 0 blocks, which 10 bytes can."""
    lba, _ = BlockRange.of(cdb)
    if len(cdb) == 6:
        return BlockRange(lba, blocks).cdb(cdb[0] | 0x20)
    return BlockRange(lba, blocks).cdb(cdb[0], cdb[1])
