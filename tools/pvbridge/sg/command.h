/* One SCSI command of a program: from what sg or bsg wants of it to a request, and back. */
#ifndef PVSG_COMMAND_H
#define PVSG_COMMAND_H

#include <linux/bsg.h>
#include <scsi/sg.h>
#include <time.h>

#include "tools/pvbridge/sg/file.h"

#define PVSG_MMAP_IO 0x4 /* SG_FLAG_MMAP_IO, which the C library's sg.h lacks */

struct pvsg_command {
    struct pvsg_command *next;
    int socket;
    struct timespec began;
    struct pvsg_request request;
    struct pvsg_answer answer;
    struct pvsg_data data;
    struct iovec flat;
    void *vectors;                /* a copy of the program's; NULL: `flat` */
    void *scratch;                /* instead of the program's memory */
    struct pvsg_reserve *reserve; /* whose memory the data are in; NULL: in other memory */
    struct sg_io_hdr header;      /* of one that was written */
};

/* Functions return 0, or a negative errno as sg.c or bsg.c has it. A command that was prepared has
 * to be released. */
int pvsg_prepare_v3(struct pvsg_file *file, const struct sg_io_hdr *header,
                    struct pvsg_command *command);
int pvsg_prepare_v4(struct pvsg_file *file, const struct sg_io_v4 *header,
                    struct pvsg_command *command);
void pvsg_command_release(struct pvsg_command *command);

int pvsg_command_send(struct pvsg_file *file, struct pvsg_command *command);
int pvsg_command_receive(struct pvsg_file *file, struct pvsg_command *command);
int pvsg_command_run(struct pvsg_file *file, struct pvsg_command *command); /* both */

void pvsg_finish_v3(const struct pvsg_command *command, struct sg_io_hdr *header);
void pvsg_finish_v4(const struct pvsg_command *command, struct sg_io_v4 *header);

#endif
