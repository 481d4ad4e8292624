/* A grant copy as the ABI of libxengnttab.so.1 has it; we are on either side of that library. */
#ifndef PVDRIVERS_XENGNTTAB_COPY_H
#define PVDRIVERS_XENGNTTAB_COPY_H

#include <stdint.h>

union xengnttab_copy_ptr {
    void *virt;
    struct {
        uint32_t ref;
        uint16_t offset;
        uint16_t domid;
    } foreign;
};

struct xengnttab_grant_copy_segment {
    union xengnttab_copy_ptr source, dest;
    uint16_t len;
    uint16_t flags;
    int16_t status;
};

#endif
