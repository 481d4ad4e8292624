/* The functions of the Xen libraries, found at run time, under their own names and types. */
#ifndef PVDRIVERS_NATIVE_LIBRARIES_H
#define PVDRIVERS_NATIVE_LIBRARIES_H

#include "pvdrivers/xengnttab_copy.h"

#include <stddef.h>
#include <stdint.h>

#define NATIVE_LIBRARIES 3

struct xentoollog_logger;

struct native_libraries {
    void *opened[NATIVE_LIBRARIES];

    void *(*xenevtchn_open)(struct xentoollog_logger *, unsigned);
    int (*xenevtchn_close)(void *);
    int (*xenevtchn_fd)(void *);
    int (*xenevtchn_notify)(void *, uint32_t port);
    int (*xenevtchn_bind_unbound_port)(void *, uint32_t domid);
    int (*xenevtchn_bind_interdomain)(void *, uint32_t domid, uint32_t port);
    int (*xenevtchn_bind_virq)(void *, unsigned virq);
    int (*xenevtchn_unbind)(void *, uint32_t port);
    int (*xenevtchn_pending)(void *);
    int (*xenevtchn_unmask)(void *, uint32_t port);

    void *(*xengnttab_open)(struct xentoollog_logger *, unsigned);
    int (*xengnttab_close)(void *);
    void *(*xengnttab_map_grant_refs)(void *, uint32_t count, uint32_t *domids, uint32_t *refs,
                                      int prot);
    void *(*xengnttab_map_domain_grant_refs)(void *, uint32_t count, uint32_t domid, uint32_t *refs,
                                             int prot);
    int (*xengnttab_unmap)(void *, void *address, uint32_t count);
    int (*xengnttab_grant_copy)(void *, uint32_t count, struct xengnttab_grant_copy_segment *);

    void *(*xengntshr_open)(struct xentoollog_logger *, unsigned);
    int (*xengntshr_close)(void *);
    void *(*xengntshr_share_pages)(void *, uint32_t domid, int count, uint32_t *refs, int writable);

    void *(*xenforeignmemory_open)(struct xentoollog_logger *, unsigned);
    int (*xenforeignmemory_close)(void *);
    void *(*xenforeignmemory_map)(void *, uint32_t domid, int prot, size_t pages,
                                  const unsigned long *gfns, int *errors);
    int (*xenforeignmemory_unmap)(void *, void *address, size_t pages);
};

/* 0, or -ENOENT with the reason in `problem`; nothing stays loaded then. */
int native_load(struct native_libraries *libraries, const char *folder, char *problem,
                size_t problem_size);
void native_unload(struct native_libraries *libraries);

/* To be handed to every open: the libraries would otherwise write each failure to stderr, and a
 * guest can cause failures at will. */
extern struct xentoollog_logger native_quiet_logger;

#endif
