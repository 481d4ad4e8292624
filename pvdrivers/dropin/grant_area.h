/*
 * Pages a program has through libxengnttab, mapped or shared, found by their address; and what
 * the peer is told when they go (UNMAP_NOTIFY_CLEAR_BYTE and UNMAP_NOTIFY_SEND_EVENT).
 */
#ifndef PVDRIVERS_DROPIN_GRANT_AREA_H
#define PVDRIVERS_DROPIN_GRANT_AREA_H

#include "pvdrivers/dropin/dropin.h"

/* xengnttab and xengntshr handles have one type in Xen's library too. */
typedef struct xengntdev_handle {
    struct dropin_handle base;
    struct grant_area *areas;
    int fd; /* what xengnttab_fd shows: selecting on it is as useless as on the real one */
} xengnttab_handle, xengntshr_handle;

struct grant_area {
    struct grant_area *next;
    uint8_t *address;
    uint32_t count;         /* pages */
    uint32_t notify_offset; /* byte to clear, or NO_NOTICE */
    evtchn_port_t notify_port;
    struct pv_grant_map maps[]; /* of shared pages only `ref` is used */
};
#define NO_NOTICE UINT32_MAX

xengnttab_handle *grant_handle_open(void);
/* Lets `release` end every area first. */
void grant_handle_close(xengnttab_handle *handle,
                        void (*release)(xengnttab_handle *handle, struct grant_area *area));
/* An area with no notice and no address yet, on no list; NULL with errno set. */
struct grant_area *grant_area_new(uint32_t count);
void grant_area_add(xengnttab_handle *handle, struct grant_area *area);
/* Takes the area off the list; NULL with errno EINVAL when these pages are not one. */
struct grant_area *grant_area_take(xengnttab_handle *handle, const void *address, uint32_t count);
/* Once, while the pages are still there. */
void grant_area_notify(const xengnttab_handle *handle, struct grant_area *area);

#endif
