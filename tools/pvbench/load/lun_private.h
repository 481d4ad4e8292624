/* What the files of a LUN's load share. */
#ifndef TOOLS_PVBENCH_LOAD_LUN_PRIVATE_H
#define TOOLS_PVBENCH_LOAD_LUN_PRIVATE_H

#include "tools/pvbench/load/lun.h"

#define LUN_PARAMETERS 24 /* bytes: UNMAP's header, and one descriptor */

struct lun_command {
    struct pv_scsifront_command front;  /* first: the queue hands it back */
    struct pv_scsifront_command rewind; /* what may have to go before it; its user is NULL */
    uint8_t parameters[LUN_PARAMETERS];
    struct lun_command *next_free;
};

/* Makes it what the operation becomes. Act and address are there already. */
void lun_fill(const struct pv_load_lun_config *config, struct lun_command *command,
              struct pv_blkfront_io *io);
void lun_fill_rewind(struct pv_scsifront_command *front);

#endif
