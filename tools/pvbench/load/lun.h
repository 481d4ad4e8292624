/* A LUN as a block workload's queue: its operations become commands of a disk (SBC-3) or of a tape
 * (SSC-4). */
#ifndef TOOLS_PVBENCH_LOAD_LUN_H
#define TOOLS_PVBENCH_LOAD_LUN_H

#include "pvdrivers/frontends/scsi/scsifront.h"
#include "tools/pvbench/load/queue.h"

/* cffi: begin */
struct pv_load_lun;

/* What a read becomes; other operations stay what they are. */
enum pv_load_lun_reads {
    PV_LOAD_LUN_READ,
    PV_LOAD_LUN_TEST_UNIT_READY,
    PV_LOAD_LUN_MODE_SENSE /* (6), of the caching page */
};

struct pv_load_lun_config {
    struct pv_scsifront_queue *queue; /* connected */
    enum pv_load_lun_reads reads;
    bool is_tape;
    uint16_t channel, target, lun;
    uint32_t block_size; /* bytes of the disk's logical block, a multiple of 512 */
    uint32_t commands;   /* outstanding at most */
};

/* Of a disk: READ, WRITE, SYNCHRONIZE CACHE(10) and UNMAP; the 16-byte form of the first two where
 * the other cannot name the blocks. Of a tape: WRITE(6), each operation one record, behind a REWIND
 * where they begin at sector 0 again. Like Linux' drivers it gives a command that has met a unit
 * attention again. NULL with errno set: ENOMEM, or EINVAL for a configuration that makes no sense.
 */
PV_API struct pv_load_lun *pv_load_lun_create(const struct pv_load_lun_config *config);
/* Nothing is outstanding any more. */
PV_API void pv_load_lun_destroy(struct pv_load_lun *lun);
PV_API struct pv_load_queue pv_load_lun_queue(struct pv_load_lun *lun);
/* cffi: end */

#endif
