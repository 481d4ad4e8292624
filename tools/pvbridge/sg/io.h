/* What a program does with an open file. Functions return what the system call does, or a negative
 * errno as sg.c has it. */
#ifndef PVSG_IO_H
#define PVSG_IO_H

#include <sys/types.h>

#include "tools/pvbridge/sg/file.h"

int pvsg_ioctl(struct pvsg_file *file, unsigned long request, void *argument);

/* SG_IO, of a struct sg_io_hdr or sg_io_v4. */
int pvsg_sg_io(struct pvsg_file *file, void *argument);

/* Of a struct sg_io_hdr. */
ssize_t pvsg_write(struct pvsg_file *file, const void *from, size_t length);
ssize_t pvsg_read(struct pvsg_file *file, void *to, size_t length);

/* The commands whose answers have come: how many, and the pack_id of the oldest, or -1. */
int pvsg_answered(struct pvsg_file *file, int *pack_id);

/* Whether one more command can be written. */
bool pvsg_writable(struct pvsg_file *file);

#endif
