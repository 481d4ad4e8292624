/* Copies: plain, sub-page and transitive grants, bounds, and what a hostile guest may try. */
#include "grant_test.h"

static void fill(uint8_t *page, uint8_t seed, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        page[i] = (uint8_t)(seed + i * 7);
}

static void nothing_stays_pinned(struct fixture *f)
{
    for (domid_t domid = 0; domid < DOMAINS; domid++)
        for (grant_ref_t ref = 0; ref < 32; ref++)
            assert(PINS(f, domid, ref) == 0);
    for (domid_t domid = 0; domid < DOMAINS; domid++)
        for (uint64_t gfn = 0; gfn < PAGES; gfn++)
            assert(references(f, domid, gfn) == 1);
}

static void both_directions_and_grant_to_grant(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        set_version(&f, FRONT, version);
        pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
        pv_grant_publish(&f.table[FRONT], 9, BACK, 6, false);
        pv_grant_publish(&f.table[THIRD], 8, BACK, 7, false);
        fill(page_of(&f, FRONT, 5), 3, 4096);
        assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 4096, 1)) == GNTST_okay);
        assert(!memcmp(page_of(&f, BACK, 1), page_of(&f, FRONT, 5), 4096));
        assert(copy(&f, BACK, to_grant(1, FRONT, 9, 100, 50)) == GNTST_okay);
        assert(!memcmp(page_of(&f, FRONT, 6) + 100, page_of(&f, BACK, 1), 50));
        assert(page_of(&f, FRONT, 6)[99] == 0 && page_of(&f, FRONT, 6)[150] == 0);
        assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 1)) == GNTST_general_error);
        struct gnttab_copy_x86_64 op = from_grant(FRONT, 8, 10, 20, 0);
        op.flags |= GNTCOPY_dest_gref;
        op.dest.u.ref = 8;
        op.dest.domid = THIRD;
        assert(copy(&f, BACK, op) == GNTST_okay);
        assert(!memcmp(page_of(&f, THIRD, 7), page_of(&f, FRONT, 5) + 10, 20));
        nothing_stays_pinned(&f);
        tear_down(&f);
    }
}

static void each_refusal_has_its_code(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 1, 4096, 1)) == GNTST_bad_copy_arg);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 4095, 2)) == GNTST_bad_copy_arg);
    struct gnttab_copy_x86_64 op = from_grant(FRONT, 8, 0, 100, 1);
    op.dest.offset = 4000;
    assert(copy(&f, BACK, op) == GNTST_bad_copy_arg);
    op = from_grant(FRONT, 8, 0, 16, 1);
    op.dest.domid = FRONT; /* a foreign frame */
    assert(copy(&f, BACK, op) == GNTST_permission_denied);
    op = to_grant(1, FRONT, 8, 0, 16);
    op.source.domid = THIRD;
    assert(copy(&f, BACK, op) == GNTST_permission_denied);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 16, PAGES)) == GNTST_bad_page);
    assert(copy(&f, BACK, from_grant(FRONT, 512, 0, 16, 1)) == GNTST_bad_gntref);
    assert(copy(&f, BACK, from_grant(FRONT, 9, 0, 16, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(7, 8, 0, 16, 1)) == GNTST_bad_domain);
    assert(copy(&f, THIRD, from_grant(FRONT, 8, 0, 16, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 999, 0, 0, 999)) == GNTST_okay); /* no bytes */
    assert(pv_gnttab_op_copy(f.machine, BACK, NULL, 0) == 0);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

/* XSA-318: every status is written, and each element fails or succeeds by itself. */
static void batches(void)
{
    struct fixture f = set_up();
    static struct gnttab_copy_x86_64 ops[200];
    for (grant_ref_t ref = 8; ref < 208; ref++) {
        if (ref % 7)
            pv_grant_publish(&f.table[FRONT], ref, BACK, ref % PAGES, true);
        ops[ref - 8] = from_grant(ref % 11 ? FRONT : 7, ref, 0, ref % 13 ? 64 : 5000, 1);
        ops[ref - 8].status = 1;
    }
    assert(pv_gnttab_op_copy(f.machine, BACK, ops, 200) == 0);
    for (grant_ref_t ref = 8; ref < 208; ref++)
        assert(ops[ref - 8].status == (ref % 11 == 0   ? GNTST_bad_domain
                                       : ref % 7 == 0  ? GNTST_general_error
                                       : ref % 13 == 0 ? GNTST_bad_copy_arg
                                                       : GNTST_okay));
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void pages_of_16_kib(void)
{
    struct fixture f = set_up();
    fill(page_of(&f, WIDE, 5), 9, 16384);
    pv_grant_publish(&f.table[WIDE], 2047, BACK, 5, true);
    assert(f.table[WIDE].count == 2048);
    assert(copy(&f, BACK, from_grant(WIDE, 2047, 12288, 4096, 1)) == GNTST_okay);
    assert(!memcmp(page_of(&f, BACK, 1), page_of(&f, WIDE, 5) + 12288, 4096));
    assert(copy(&f, BACK, from_grant(WIDE, 2047, 12289, 4096, 1)) == GNTST_bad_copy_arg);
    assert(copy(&f, BACK, from_grant(WIDE, 2047, 0, 8192, 1)) == GNTST_bad_copy_arg);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void sub_pages_are_for_copies_only(void)
{
    struct fixture f = set_up();
    set_version(&f, FRONT, 2);
    pv_grant_publish_sub_page(&f.table[FRONT], 8, BACK, 5, 1000, 100, false);
    fill(page_of(&f, FRONT, 5), 1, 4096);
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 1000, 100, 1)) == GNTST_okay);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 999, 2, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 1099, 2, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 4090, 10, 1)) == GNTST_bad_copy_arg);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 1050, 50)) == GNTST_okay);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 1050, 51)) == GNTST_general_error);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 999, 2)) == GNTST_general_error);
    pv_grant_publish_sub_page(&f.table[FRONT], 9, BACK, 5, 4000, 65535, false);
    assert(copy(&f, BACK, from_grant(FRONT, 9, 4000, 97, 1)) == GNTST_bad_copy_arg);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void version_1_has_no_transitive_grants(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
    pv_grant_entry_header(&f.table[FRONT], 8)->flags = GTF_transitive | GTF_readonly;
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 8, 1)) == GNTST_general_error);
    assert(flags_of(&f, FRONT, 8) == (GTF_transitive | GTF_readonly));
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void transitive_grants_go_one_hop(void)
{
    struct fixture f = set_up();
    set_version(&f, FRONT, 2);
    set_version(&f, THIRD, 2);
    const struct pv_grant_entries *front = &f.table[FRONT], *third = &f.table[THIRD];
    pv_grant_publish_sub_page(third, 8, FRONT, 7, 16, 64, true);
    pv_grant_publish_transitive(front, 8, BACK, THIRD, 8, false);
    fill(page_of(&f, THIRD, 7), 4, 4096);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 16, 64, 1)) == GNTST_okay);
    assert(!memcmp(page_of(&f, BACK, 1), page_of(&f, THIRD, 7) + 16, 64));
    assert(copy(&f, BACK, from_grant(FRONT, 8, 16, 65, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 16, 8)) == GNTST_general_error);
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly).status ==
           GNTST_general_error);
    assert(copy(&f, THIRD, from_grant(FRONT, 8, 16, 8, 1)) == GNTST_general_error);
    /* To oneself, in a circle, over two hops, to no domain, to what was not granted. */
    pv_grant_publish_transitive(front, 9, BACK, FRONT, 8, true);
    pv_grant_publish_transitive(third, 10, FRONT, FRONT, 10, true);
    pv_grant_publish_transitive(front, 10, BACK, THIRD, 10, true);
    pv_grant_publish_transitive(front, 11, BACK, 7, 8, true);
    pv_grant_publish_transitive(front, 12, BACK, THIRD, 9, true);
    pv_grant_publish_transitive(front, 13, BACK, THIRD, 5000, true);
    for (grant_ref_t ref = 9; ref < 13; ref++)
        assert(copy(&f, BACK, from_grant(FRONT, ref, 16, 8, 1)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 13, 16, 8, 1)) == GNTST_bad_gntref);
    /* To oneself, and of a page granted to oneself: nothing else would refuse it (XSA-226). */
    pv_grant_publish(front, 15, FRONT, 6, true);
    pv_grant_publish_transitive(front, 9, BACK, FRONT, 15, true);
    assert(copy(&f, BACK, from_grant(FRONT, 9, 16, 8, 1)) == GNTST_general_error);
    /* Back to where it came from is allowed. */
    pv_grant_publish(&f.table[BACK], 8, FRONT, 3, true);
    pv_grant_publish_transitive(front, 14, BACK, BACK, 8, true);
    fill(page_of(&f, BACK, 3), 77, 4096);
    assert(copy(&f, BACK, from_grant(FRONT, 14, 0, 4096, 1)) == GNTST_okay);
    assert(!memcmp(page_of(&f, BACK, 1), page_of(&f, BACK, 3), 4096));
    for (grant_ref_t ref = 8; ref < 16; ref++) /* XSA-411, 226: every mark taken back */
        assert(front->status[ref] == 0 && third->status[ref] == 0);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

/* XSA-230: a copy beside a device map must not take the map's marks away. */
static void marks_stay_until_the_last_user(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_device_map);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 16, 1)) == GNTST_okay);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_okay);
    assert(pv_grant_query(&f.table[FRONT], 8) == (GTF_reading | GTF_writing));
    assert(PINS(&f, FRONT, 8) == 0x10000);
    assert(unmap(&f, BACK, &op, GNTMAP_device_map) == GNTST_okay);
    assert(pv_grant_query(&f.table[FRONT], 8) == 0);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

/* XSA-500: the entry is turned into something else while it is pinned. */
static void flipped_while_pinned(void)
{
    struct fixture f = set_up();
    set_version(&f, FRONT, 2);
    set_version(&f, THIRD, 2);
    const struct pv_grant_entries *t = &f.table[FRONT];
    pv_grant_publish(&f.table[THIRD], 8, FRONT, 7, false);
    pv_grant_publish(t, 8, BACK, 5, false);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
    pv_grant_publish_transitive(t, 8, BACK, THIRD, 8, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_general_error);
    pv_grant_publish_sub_page(t, 8, BACK, 5, 0, 16, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_general_error);
    pv_grant_publish(t, 8, BACK, 6, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_general_error);
    pv_grant_publish(t, 8, BACK, 5, false);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_okay);
    assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void the_seam_copies_local_memory(void)
{
    struct fixture f = set_up();
    static uint8_t local[64 * 4096];
    static struct pv_grant_copy copies[64];
    for (unsigned i = 0; i < 64; i++) {
        pv_grant_publish(&f.table[FRONT], 8 + i, BACK, i, true);
        fill(page_of(&f, FRONT, i), (uint8_t)i, 4096);
        copies[i] = (struct pv_grant_copy){.source = {.ref = 8 + i, .domid = FRONT, .offset = 0},
                                           .dest = {.address = local + i * 4096},
                                           .len = 4096,
                                           .flags = GNTCOPY_source_gref,
                                           .status = 1};
    }
    copies[40].source.ref = 7;
    copies[41].dest.address = NULL;
    assert(f.hv[BACK]->ops->gnttab_copy(f.hv[BACK], copies, 64) == 0);
    for (unsigned i = 0; i < 64; i++) {
        if (i != 40 && i != 41) {
            assert(copies[i].status == GNTST_okay);
            assert(!memcmp(local + i * 4096, page_of(&f, FRONT, i), 4096));
        }
    }
    assert(copies[40].status == GNTST_general_error && copies[41].status == GNTST_bad_page);
    nothing_stays_pinned(&f);
    tear_down(&f);
}

static void a_dying_granter_is_no_domain(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
    assert(pv_domain_destroy(f.machine, FRONT) == 0);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 16, 1)) == GNTST_bad_domain);
    assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
    struct gnttab_copy_x86_64 late = from_grant(BACK, 8, 0, 16, 1);
    late.status = 1;
    assert(pv_gnttab_op_copy(f.machine, FRONT, &late, 1) == -ESRCH);
    assert(late.status == GNTST_general_error);
    tear_down(&f);
}

int main(void)
{
    both_directions_and_grant_to_grant();
    each_refusal_has_its_code();
    batches();
    pages_of_16_kib();
    sub_pages_are_for_copies_only();
    version_1_has_no_transitive_grants();
    transitive_grants_go_one_hop();
    marks_stay_until_the_last_user();
    flipped_while_pinned();
    the_seam_copies_local_memory();
    a_dying_granter_is_no_domain();
    return 0;
}
