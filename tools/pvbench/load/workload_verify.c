/* What a workload's blocks hold, so that every read can be checked. */
#include "tools/pvbench/load/crc32c.h"
#include "tools/pvbench/load/workload_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_MAGIC 0x44425650u /* "PVBD" */

/* At the start of every block written. */
struct block_header {
    uint32_t magic;
    uint32_t crc; /* crc32c of the block from `offset` on */
    uint64_t offset, sequence, seed;
};

#define HEADER_START offsetof(struct block_header, offset)

static uint32_t body_crc(const uint8_t *block, uint32_t size)
{
    return pv_crc32c(0, block + HEADER_START, size - HEADER_START);
}

/* Over the whole block; the body comes first so that the header's crc is a step on the way. */
static uint32_t whole_crc(const uint8_t *block, uint32_t body)
{
    return pv_crc32c(body, block, HEADER_START);
}

void pv_workload_fill(struct pv_blk_workload *workload, struct slot *slot)
{
    uint32_t size = workload->config.block_size;
    struct block_header header = {
        .magic = BLOCK_MAGIC,
        .offset = workload->config.offset + slot->block * size,
        .sequence = ++workload->sequence,
        .seed = workload->config.seed,
    };
    uint64_t word = header.offset ^ header.sequence << 20 ^ header.seed << 40;
    uint8_t *block = slot->io.data;
    for (uint32_t at = sizeof(header); at < size; at += sizeof(word)) {
        word = word * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(block + at, &word, sizeof(word));
    }
    memcpy(block, &header, sizeof(header));
    header.crc = body_crc(block, size);
    memcpy(block, &header, sizeof(header));
    slot->crc = whole_crc(block, header.crc);
}

static void note_mismatch(struct pv_blk_workload *workload, const struct slot *slot, uint32_t found)
{
    if (workload->result.verify_errors++ > 0)
        return;
    struct block_header header;
    memcpy(&header, slot->io.data, sizeof(header));
    uint32_t size = workload->config.block_size;
    workload->result.mismatch = (struct pv_blk_mismatch){
        .offset = workload->config.offset + slot->block * size,
        .expected_crc = workload->crcs[slot->block],
        .found_crc = found,
        .is_ours = header.magic == BLOCK_MAGIC && header.crc == body_crc(slot->io.data, size),
        .found_offset = header.offset,
        .found_sequence = header.sequence,
    };
}

void pv_workload_verify(struct pv_blk_workload *workload, struct slot *slot)
{
    uint64_t block = slot->block;
    bool known = workload->blocks[block] & BLOCK_KNOWN;
    if (slot->direction == PV_BLK_DIR_WRITE && slot->io.status == 0) {
        workload->crcs[block] = slot->crc;
        known = true;
    } else if (slot->direction != PV_BLK_DIR_READ) {
        known = false; /* a failed write or a discard leaves anything */
    } else if (known && slot->io.status == 0) {
        uint32_t found =
            whole_crc(slot->io.data, body_crc(slot->io.data, workload->config.block_size));
        workload->result.verified++;
        if (found != workload->crcs[block])
            note_mismatch(workload, slot, found);
    }
    workload->blocks[block] = known ? BLOCK_KNOWN : 0;
}

int pv_blk_workload_expect(struct pv_blk_workload *workload, int fd)
{
    uint32_t size = workload->config.block_size;
    if (!workload->config.verify)
        return -EINVAL;
    uint8_t *block = malloc(size);
    int error = block ? 0 : -ENOMEM;
    for (uint64_t i = 0; !error && i < workload->nr_blocks; i++) {
        ssize_t got = pread(fd, block, size, (off_t)(workload->config.offset + i * size));
        if (got != (ssize_t)size) {
            error = got < 0 ? -errno : -ENODATA;
            break;
        }
        workload->crcs[i] = whole_crc(block, body_crc(block, size));
        workload->blocks[i] = BLOCK_KNOWN;
    }
    free(block);
    return error;
}
