/*
 * The stores and filters that come with the project. Each constructor returns NULL with errno set
 * on failure. A filter stands on another store, which closing the filter closes too. Everything
 * random comes from a seed: the same operations in the same order meet the same fate.
 */
#ifndef PVDRIVERS_BLK_STORES_H
#define PVDRIVERS_BLK_STORES_H

#include "pvdrivers/blk_store.h"

/* cffi: begin */

/* Writes go nowhere. Reads give zeros, or with `no_data` leave the reader's memory as it is. */
PV_API struct pv_blk_store *pv_null_store_create(uint64_t sectors, uint32_t sector_size,
                                                 bool no_data);
/* This process's memory, zeros at first. */
PV_API struct pv_blk_store *pv_ram_store_create(uint64_t sectors, uint32_t sector_size);

/* Carries out one operation and waits for it, in real time (for tests and tools). Returns 0 or
 * the operation's negative errno; -EINVAL when out of range or unaligned. */
PV_API int pv_blk_store_transfer(struct pv_blk_store *store, enum pv_blk_op op, uint64_t sector,
                                 uint64_t nr_sectors, void *data, bool secure);
PV_API void pv_blk_store_close(struct pv_blk_store *store); /* NULL is fine */
/* cffi: end */

#endif
