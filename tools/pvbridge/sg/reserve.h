/* A file's reserved buffer. Functions return 0, or a negative errno as sg.c has it. */
#ifndef PVSG_RESERVE_H
#define PVSG_RESERVE_H

#include "tools/pvbridge/sg/file.h"

/* SG_SET_RESERVED_SIZE. -EBUSY: a program has mapped it, or a command is using it. */
int pvsg_reserve_resize(struct pvsg_file *file, int size);

/* For mmap(): an fd of its memory, for so many bytes from its beginning. */
int pvsg_reserve_map(struct pvsg_file *file, size_t length, off_t offset);

/* For a command's data, until its `in_use` is cleared. */
int pvsg_reserve_use(struct pvsg_file *file, uint32_t length);

#endif
