/* The guest's own side of its grant table, with the test in the hypervisor's part. */
#include "pvdrivers/ring/grant_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define COUNT 16

static uint64_t memory[2 * COUNT];
static uint16_t status[COUNT];

static struct pv_grant_entries table(uint32_t version)
{
    memset(memory, 0, sizeof memory);
    memset(status, 0, sizeof status);
    return (struct pv_grant_entries){memory, status, version, COUNT};
}

/* Where the hypervisor puts its marks. */
static uint16_t *marks(const struct pv_grant_entries *t, grant_ref_t ref)
{
    return t->version == 1 ? &pv_grant_entry_header(t, ref)->flags : &t->status[ref];
}

static void entries_have_the_official_layout(void)
{
    struct pv_grant_entries t = table(1);
    pv_grant_publish(&t, 3, 0x1234, 0x89ABCDEF, true);
    assert(memory[3] == (0x89ABCDEFull << 32 | 0x1234u << 16 | 5));
    t = table(2);
    pv_grant_publish(&t, 3, 0x1234, 0x123456789ABull, false);
    assert(memory[6] == (0x1234u << 16 | 1) && memory[7] == 0x123456789ABull);
    pv_grant_publish_sub_page(&t, 4, 2, 7, 0x111, 0x222, true);
    assert(memory[8] == (0x222ull << 48 | 0x111ull << 32 | 2u << 16 | 0x105) && memory[9] == 7);
    pv_grant_publish_transitive(&t, 5, 2, 9, 0x77, false);
    assert(memory[10] == (9ull << 32 | 2u << 16 | 3) && (uint32_t)memory[11] == 0x77);
    pv_grant_publish_transfer(&t, 6, 2, 8);
    assert(memory[12] == (2u << 16 | 2) && memory[13] == 8);
}

static void a_grant_in_use_cannot_be_ended(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct pv_grant_entries t = table(version);
        pv_grant_publish(&t, 9, 1, 5, false);
        *marks(&t, 9) |= GTF_reading;
        assert(pv_grant_query(&t, 9) == GTF_reading && pv_grant_end(&t, 9) == -EBUSY);
        /* Version 1 leaves the entry as it is; version 2 lets no new user in. */
        uint16_t type = pv_grant_entry_header(&t, 9)->flags & GTF_type_mask;
        assert(type == (version == 1 ? GTF_permit_access : GTF_invalid));
        *marks(&t, 9) &= (uint16_t)~GTF_reading;
        assert(pv_grant_end(&t, 9) == 0 && pv_grant_entry_header(&t, 9)->flags == 0);
    }
}

static void rights_change_without_other_writers(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct pv_grant_entries t = table(version);
        uint16_t *flags = &pv_grant_entry_header(&t, 9)->flags;
        pv_grant_publish(&t, 9, 1, 5, false);
        *marks(&t, 9) |= GTF_reading | GTF_writing;
        assert(pv_grant_make_readonly(&t, 9) == -EBUSY && !(*flags & GTF_readonly));
        *marks(&t, 9) &= (uint16_t)~GTF_writing;
        assert(pv_grant_make_readonly(&t, 9) == 0 && (*flags & GTF_readonly));
        assert(pv_grant_query(&t, 9) == GTF_reading);
        pv_grant_make_writable(&t, 9);
        assert(!(*flags & GTF_readonly) && (*flags & GTF_permit_access));
    }
}

static void a_transfer_is_taken_back_only_before_it_starts(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct pv_grant_entries t = table(version);
        uint16_t *flags = &pv_grant_entry_header(&t, 9)->flags;
        uint64_t frame = 0;
        pv_grant_publish_transfer(&t, 9, 1, 5);
        assert(pv_grant_end_transfer(&t, 9, &frame) == -ENOENT && *flags == 0);
        pv_grant_publish_transfer(&t, 9, 1, 5);
        *flags |= GTF_transfer_committed;
        assert(pv_grant_end_transfer(&t, 9, &frame) == -EBUSY && frame == 0);
        *flags |= GTF_transfer_completed;
        assert(pv_grant_end_transfer(&t, 9, &frame) == 0 && frame == 5 && *flags == 0);
    }
}

static void free_refs(void)
{
    struct pv_gref_list list;
    uint32_t next[COUNT + 1];
    pv_gref_list_init(&list, COUNT);
    for (int64_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < COUNT; ref++)
        assert(pv_gref_list_take(&list, next) == ref);
    assert(pv_gref_list_take(&list, next) == -ENOSPC);
    pv_gref_list_give(&list, next, 10);
    pv_gref_list_give(&list, next, 12);
    assert(pv_gref_list_take(&list, next) == 12 && pv_gref_list_take(&list, next) == 10);
    assert(pv_gref_list_take(&list, next) == -ENOSPC);
    pv_gref_list_grow(&list, COUNT + 1);
    assert(pv_gref_list_take(&list, next) == COUNT);
    assert(pv_gref_list_take(&list, next) == -ENOSPC);
}

int main(void)
{
    entries_have_the_official_layout();
    a_grant_in_use_cannot_be_ended();
    rights_change_without_other_writers();
    a_transfer_is_taken_back_only_before_it_starts();
    free_refs();
    return 0;
}
