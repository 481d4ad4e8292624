/* The commands of disks that a data plane carries, and the blocks that they are about:
 * TEST UNIT READY, READ, WRITE and SYNCHRONIZE CACHE. */
#ifndef PVDRIVERS_SCSI_PLAIN_CDB_H
#define PVDRIVERS_SCSI_PLAIN_CDB_H

#include <stdint.h>

/* 0: it is none of them. */
static inline uint8_t plain_cdb_length(uint8_t opcode)
{
    switch (opcode) {
    case 0x00: /* TEST UNIT READY */
    case 0x08: /* READ (6) */
    case 0x0A: /* WRITE (6) */
        return 6;
    case 0x28: /* READ (10) */
    case 0x2A: /* WRITE (10) */
    case 0x35: /* SYNCHRONIZE CACHE (10) */
        return 10;
    case 0xA8: /* READ (12) */
    case 0xAA: /* WRITE (12) */
        return 12;
    case 0x88: /* READ (16) */
    case 0x8A: /* WRITE (16) */
    case 0x91: /* SYNCHRONIZE CACHE (16) */
        return 16;
    default:
        return 0;
    }
}

static inline uint64_t big_endian(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

struct block_range {
    uint64_t block;
    uint32_t blocks;
};

/* Of a CDB of so many bytes, whatever its other bits are. In one of 6 bytes 0 blocks are 256. */
static inline struct block_range cdb_range(const uint8_t *cdb, uint8_t length)
{
    if (length == 6)
        return (struct block_range){big_endian(cdb + 1, 3) & 0x1FFFFF, cdb[4] ? cdb[4] : 256};
    struct block_range range = {.block = big_endian(cdb + 2, length == 16 ? 8 : 4)};
    if (length == 10)
        range.blocks = (uint32_t)big_endian(cdb + 7, 2);
    else
        range.blocks = (uint32_t)big_endian(cdb + (length == 16 ? 10 : 6), 4);
    return range;
}

#endif
