/*
 * A guest's own side of its grant table: it writes entries, the hypervisor marks them in use, the
 * guest takes them back (grant_table.h of Xen's public headers tells the order of the steps).
 * Nothing here asks the hypervisor; the table is memory that both the guest and Xen write.
 */
#ifndef PVDRIVERS_RING_GRANT_TABLE_H
#define PVDRIVERS_RING_GRANT_TABLE_H

#include "pvdrivers/ring/abi_grant_table.h"

/* cffi: begin */

/* A guest's view of its table. */
struct pv_grant_entries {
    void *shared;     /* struct grant_entry_v1[] or union grant_entry_v2[] */
    uint16_t *status; /* version 2 only */
    uint32_t version; /* 1 or 2 */
    uint32_t count;   /* entries; a ref is below it, or the call is the caller's mistake */
};

/* Publishing writes everything else first and the type last. Frames are in the guest's pages. */
PV_API void pv_grant_publish(const struct pv_grant_entries *entries, grant_ref_t ref, domid_t domid,
                             uint64_t frame, bool readonly);
/* Version 2: `length` bytes from `offset` of the page; good for copies, never for maps. */
PV_API void pv_grant_publish_sub_page(const struct pv_grant_entries *entries, grant_ref_t ref,
                                      domid_t domid, uint64_t frame, uint16_t offset,
                                      uint16_t length, bool readonly);
/* Version 2: passes on what `trans_domid` granted to this guest as `trans_gref`. */
PV_API void pv_grant_publish_transitive(const struct pv_grant_entries *entries, grant_ref_t ref,
                                        domid_t domid, domid_t trans_domid, grant_ref_t trans_gref,
                                        bool readonly);
/* `domid` may put a page of its own at guest frame `frame`. */
PV_API void pv_grant_publish_transfer(const struct pv_grant_entries *entries, grant_ref_t ref,
                                      domid_t domid, uint64_t frame);

/* What the peer holds: GTF_reading and GTF_writing. */
PV_API uint16_t pv_grant_query(const struct pv_grant_entries *entries, grant_ref_t ref);
/* Ends an access grant: 0, or -EBUSY while the peer still uses it. The entry of a version 2 table
 * is closed to new users even then; the page must not be reused until a later call gives 0. */
PV_API int pv_grant_end(const struct pv_grant_entries *entries, grant_ref_t ref);
/* -EBUSY while the peer holds it for writing. */
PV_API int pv_grant_make_readonly(const struct pv_grant_entries *entries, grant_ref_t ref);
PV_API void pv_grant_make_writable(const struct pv_grant_entries *entries, grant_ref_t ref);
/* Takes back an accept_transfer entry: -ENOENT when no page came; -EBUSY while one is under way
 * (ask again); else 0 and the frame that came. */
PV_API int pv_grant_end_transfer(const struct pv_grant_entries *entries, grant_ref_t ref,
                                 uint64_t *frame);

/* Free refs, a stack threaded through `next[]` of the caller; the reserved refs never are in it. */
struct pv_gref_list {
    uint32_t first; /* 0: none, since ref 0 is reserved */
    uint32_t fresh; /* refs from here to `count` have never been handed out */
    uint32_t count;
};
PV_API void pv_gref_list_init(struct pv_gref_list *list, uint32_t count);
PV_API void pv_gref_list_grow(struct pv_gref_list *list, uint32_t count);
/* A ref, or -ENOSPC. */
PV_API int64_t pv_gref_list_take(struct pv_gref_list *list, uint32_t *next);
PV_API void pv_gref_list_give(struct pv_gref_list *list, uint32_t *next, grant_ref_t ref);
/* cffi: end */

static inline struct grant_entry_v1 *pv_grant_entry_v1(const struct pv_grant_entries *entries,
                                                       grant_ref_t ref)
{
    return (struct grant_entry_v1 *)entries->shared + ref;
}

static inline union grant_entry_v2 *pv_grant_entry_v2(const struct pv_grant_entries *entries,
                                                      grant_ref_t ref)
{
    return (union grant_entry_v2 *)entries->shared + ref;
}

/* Flags and domid lie at the start of an entry of either version. */
static inline struct grant_entry_header *
pv_grant_entry_header(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    return entries->version == 1 ? (struct grant_entry_header *)pv_grant_entry_v1(entries, ref)
                                 : &pv_grant_entry_v2(entries, ref)->hdr;
}

#endif
