#include "pvdrivers/ring/grant_table.h"

#include "pvdrivers/ring/barrier.h"

#include <errno.h>

/* The hypervisor sees an entry only through its flags, so they are stored last, with release. */
static void publish(const struct pv_grant_entries *entries, grant_ref_t ref, domid_t domid,
                    uint16_t flags)
{
    struct grant_entry_header *header = pv_grant_entry_header(entries, ref);
    pv_write_once_16(&header->domid, domid);
    pv_store_release_16(&header->flags, flags);
}

static void set_frame(const struct pv_grant_entries *entries, grant_ref_t ref, uint64_t frame)
{
    if (entries->version == 1)
        pv_write_once(&pv_grant_entry_v1(entries, ref)->frame, (uint32_t)frame);
    else
        pv_write_once_64(&pv_grant_entry_v2(entries, ref)->full_page.frame, frame);
}

static uint16_t access_flags(uint16_t type, bool readonly)
{
    return readonly ? type | GTF_readonly : type;
}

void pv_grant_publish(const struct pv_grant_entries *entries, grant_ref_t ref, domid_t domid,
                      uint64_t frame, bool readonly)
{
    set_frame(entries, ref, frame);
    publish(entries, ref, domid, access_flags(GTF_permit_access, readonly));
}

void pv_grant_publish_sub_page(const struct pv_grant_entries *entries, grant_ref_t ref,
                               domid_t domid, uint64_t frame, uint16_t offset, uint16_t length,
                               bool readonly)
{
    union grant_entry_v2 *entry = pv_grant_entry_v2(entries, ref);
    pv_write_once_16(&entry->sub_page.page_off, offset);
    pv_write_once_16(&entry->sub_page.length, length);
    set_frame(entries, ref, frame);
    publish(entries, ref, domid, access_flags(GTF_permit_access | GTF_sub_page, readonly));
}

void pv_grant_publish_transitive(const struct pv_grant_entries *entries, grant_ref_t ref,
                                 domid_t domid, domid_t trans_domid, grant_ref_t trans_gref,
                                 bool readonly)
{
    union grant_entry_v2 *entry = pv_grant_entry_v2(entries, ref);
    pv_write_once_16(&entry->transitive.trans_domid, trans_domid);
    pv_write_once(&entry->transitive.gref, trans_gref);
    publish(entries, ref, domid, access_flags(GTF_transitive, readonly));
}

void pv_grant_publish_transfer(const struct pv_grant_entries *entries, grant_ref_t ref,
                               domid_t domid, uint64_t frame)
{
    set_frame(entries, ref, frame);
    publish(entries, ref, domid, GTF_accept_transfer);
}

uint16_t pv_grant_query(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    const uint16_t *word =
        entries->version == 1 ? &pv_grant_entry_v1(entries, ref)->flags : &entries->status[ref];
    /* Acquire: what the peer wrote before its mark went away is visible after. */
    return pv_load_acquire_16(word) & (GTF_reading | GTF_writing);
}

/* Changes the flags of an entry unless one of `busy` is set, in one step against the hypervisor's
 * own compare-and-swap. A full barrier then: what the peer wrote before it ended its use is
 * visible. */
static int change_flags(uint16_t *word, uint16_t busy, uint16_t keep, uint16_t set)
{
    uint16_t seen = pv_read_once_16(word), flags;
    do {
        flags = seen;
        if (flags & busy)
            return -EBUSY;
        seen = pv_compare_exchange_16(word, flags, (uint16_t)((flags & keep) | set));
    } while (seen != flags);
    return 0;
}

int pv_grant_end(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    if (entries->version == 1)
        return change_flags(&pv_grant_entry_v1(entries, ref)->flags, GTF_reading | GTF_writing, 0,
                            0);
    pv_write_once_16(&pv_grant_entry_v2(entries, ref)->hdr.flags, 0);
    /* The hypervisor sets the status and then looks at the flags again; this is the other half:
     * either it sees the cleared flags or the load below sees its status. */
    pv_mb();
    return pv_grant_query(entries, ref) ? -EBUSY : 0;
}

int pv_grant_make_readonly(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    if (entries->version == 1)
        return change_flags(&pv_grant_entry_v1(entries, ref)->flags, GTF_writing, 0xFFFF,
                            GTF_readonly);
    /* A full barrier, as in pv_grant_end. */
    pv_fetch_or_16(&pv_grant_entry_v2(entries, ref)->hdr.flags, GTF_readonly);
    if (!(pv_grant_query(entries, ref) & GTF_writing))
        return 0;
    pv_grant_make_writable(entries, ref);
    return -EBUSY;
}

void pv_grant_make_writable(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    /* One step against the hypervisor's marks; a full barrier: what we did to the page comes before
     * what the peer may do now. */
    pv_fetch_and_16(&pv_grant_entry_header(entries, ref)->flags, (uint16_t)~GTF_readonly);
}

int pv_grant_end_transfer(const struct pv_grant_entries *entries, grant_ref_t ref, uint64_t *frame)
{
    uint16_t *word = &pv_grant_entry_header(entries, ref)->flags;
    if (!change_flags(word, GTF_transfer_committed, 0, 0))
        return -ENOENT;
    /* Acquire: the frame and the page's bytes were stored before the flag. */
    if (!(pv_load_acquire_16(word) & GTF_transfer_completed))
        return -EBUSY;
    *frame = entries->version == 1
                 ? pv_read_once(&pv_grant_entry_v1(entries, ref)->frame)
                 : pv_read_once_64(&pv_grant_entry_v2(entries, ref)->full_page.frame);
    pv_write_once_16(word, 0);
    return 0;
}

void pv_gref_list_init(struct pv_gref_list *list, uint32_t count)
{
    *list = (struct pv_gref_list){.fresh = GNTTAB_NR_RESERVED_ENTRIES, .count = count};
}

void pv_gref_list_grow(struct pv_gref_list *list, uint32_t count)
{
    list->count = count;
}

int64_t pv_gref_list_take(struct pv_gref_list *list, uint32_t *next)
{
    uint32_t ref = list->first;
    if (ref)
        list->first = next[ref];
    else if (list->fresh < list->count)
        ref = list->fresh++;
    else
        return -ENOSPC;
    return ref;
}

void pv_gref_list_give(struct pv_gref_list *list, uint32_t *next, grant_ref_t ref)
{
    next[ref] = list->first;
    list->first = ref;
}
