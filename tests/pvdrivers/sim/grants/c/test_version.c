/* The table's size, version and order, and pages given away. */
#include "grant_test.h"

static int change(struct fixture *f, domid_t domid, uint32_t version, uint32_t in_force)
{
    struct gnttab_set_version op = {version};
    int error = pv_gnttab_op_set_version(f->machine, domid, &op);
    assert(op.version == in_force);
    assert(pv_gnttab_entries(f->machine, domid, &f->table[domid]) == 0);
    return error;
}

static void versions(void)
{
    struct fixture f = set_up();
    assert(change(&f, FRONT, 0, 1) == -EINVAL && change(&f, FRONT, 3, 1) == -EINVAL);
    pv_grant_publish(&f.table[FRONT], 1, BACK, 3, true); /* the store's ring */
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref ring = map(&f, BACK, FRONT, 1, GNTMAP_host_map | GNTMAP_readonly);
    struct gnttab_map_grant_ref other = map(&f, BACK, FRONT, 8, GNTMAP_host_map);
    assert(change(&f, FRONT, 2, 1) == -EBUSY);
    assert(unmap(&f, BACK, &other, GNTMAP_host_map) == GNTST_okay);
    assert(change(&f, FRONT, 2, 2) == 0 && f.table[FRONT].count == 256);
    assert(flags_of(&f, FRONT, 8) == 0); /* wiped, but not the first eight */
    assert(flags_of(&f, FRONT, 1) == (GTF_permit_access | GTF_readonly));
    assert(pv_grant_query(&f.table[FRONT], 1) == GTF_reading);
    assert(copy(&f, BACK, from_grant(FRONT, 1, 0, 64, 1)) == GNTST_okay);
    pv_grant_publish_transitive(&f.table[FRONT], 2, BACK, THIRD, 8, true);
    assert(change(&f, FRONT, 1, 2) == -ERANGE);
    pv_grant_publish(&f.table[FRONT], 2, BACK, 1ull << 32, true);
    assert(change(&f, FRONT, 1, 2) == -ERANGE);
    assert(pv_grant_end(&f.table[FRONT], 2) == 0);
    assert(change(&f, FRONT, 1, 1) == 0 && change(&f, FRONT, 1, 1) == 0);
    assert(flags_of(&f, FRONT, 1) == (GTF_permit_access | GTF_readonly | GTF_reading));
    assert(unmap(&f, BACK, &ring, GNTMAP_host_map) == GNTST_okay);
    assert(pv_grant_end(&f.table[FRONT], 1) == 0 && references(&f, FRONT, 3) == 1);
    tear_down(&f);
}

static void version_2_may_be_switched_off(void)
{
    struct fixture f = set_up();
    struct pv_domain_config config = {
        .abi = PV_ABI_X86_64, .memory = 1 << 20, .vcpus = 1, .max_grant_version = 1};
    assert(pv_domain_create(f.machine, 5, &config) == 5);
    struct gnttab_set_version op = {2};
    assert(pv_gnttab_op_set_version(f.machine, 5, &op) == -ENOSYS && op.version == 1);
    struct gnttab_get_version get = {.dom = 5};
    assert(pv_gnttab_op_get_version(f.machine, BACK, &get) == 0 && get.version == 1);
    assert(pv_gnttab_op_get_version(f.machine, FRONT, &get) == -EPERM);
    get.dom = 7;
    assert(pv_gnttab_op_get_version(f.machine, BACK, &get) == -ESRCH);
    tear_down(&f);
}

/* XSA-26: what a version costs comes back with it. */
static void switching_for_ever_leaks_nothing(void)
{
    struct fixture f = set_up();
    uint64_t resident = 0;
    for (int i = 0; i < 10000; i++) {
        assert(change(&f, FRONT, 2 - i % 2, 2 - i % 2) == 0);
        if (i == 100)
            resident = pv_machine_resident_memory(f.machine);
    }
    assert(pv_machine_resident_memory(f.machine) == resident);
    tear_down(&f);
}

static void sizes(void)
{
    struct fixture f = set_up();
    uint64_t frames[80];
    memset(frames, 0xEE, sizeof frames);
    struct gnttab_query_size size = {.dom = DOMID_SELF};
    assert(pv_gnttab_op_query_size(f.machine, FRONT, &size) == 0 && size.status == GNTST_okay);
    assert(size.nr_frames == 1 && size.max_nr_frames == 64);
    struct gnttab_setup_table_x86_64 setup = {
        .dom = DOMID_SELF, .nr_frames = 65, .frame_list = (uintptr_t)frames};
    assert(pv_gnttab_op_setup_table(f.machine, FRONT, &setup) == 0);
    assert(setup.status == GNTST_general_error && frames[0] == 0xEEEEEEEEEEEEEEEE);
    setup.nr_frames = 64;
    assert(pv_gnttab_op_setup_table(f.machine, FRONT, &setup) == 0);
    assert(setup.status == GNTST_okay && frames[64] == 0xEEEEEEEEEEEEEEEE);
    const uint8_t *shared = f.table[FRONT].shared;
    for (unsigned i = 0; i < 64; i++) { /* XSA-101: zeros */
        assert((uint8_t *)frame_address(f.machine, frames[i]) == shared + i * 4096);
        for (unsigned k = 0; k < 4096; k++)
            assert(shared[i * 4096 + k] == 0);
    }
    setup.nr_frames = 2;
    setup.dom = BACK;
    assert(pv_gnttab_op_setup_table(f.machine, FRONT, &setup) == 0);
    assert(setup.status == GNTST_permission_denied);
    setup.dom = 7;
    assert(pv_gnttab_op_setup_table(f.machine, FRONT, &setup) == 0);
    assert(setup.status == GNTST_bad_domain);
    size.dom = FRONT;
    assert(pv_gnttab_op_query_size(f.machine, BACK, &size) == 0 && size.nr_frames == 64);
    assert(pv_gnttab_op_query_size(f.machine, 7, &size) == -ESRCH);
    tear_down(&f);
}

/* XSA-382: no more frames than the caller has room for. */
static void status_frames(void)
{
    struct fixture f = set_up();
    uint64_t frames[4] = {1, 2, 3, 4};
    struct gnttab_get_status_frames_x86_64 op = {
        .dom = DOMID_SELF, .nr_frames = 1, .frame_list = (uintptr_t)frames};
    assert(pv_gnttab_op_get_status_frames(f.machine, FRONT, &op) == 0);
    assert(op.status == GNTST_general_error && frames[0] == 1); /* version 1 has none */
    struct gnttab_setup_table_x86_64 setup = {.dom = DOMID_SELF, .nr_frames = 9};
    uint64_t grant_frames[9];
    setup.frame_list = (uintptr_t)grant_frames;
    assert(pv_gnttab_op_setup_table(f.machine, FRONT, &setup) == 0 && setup.status == 0);
    set_version(&f, FRONT, 2);
    op.nr_frames = 3;
    assert(pv_gnttab_op_get_status_frames(f.machine, FRONT, &op) == 0);
    assert(op.status == GNTST_general_error);
    op.nr_frames = 2;
    assert(pv_gnttab_op_get_status_frames(f.machine, FRONT, &op) == 0);
    assert(op.status == GNTST_okay && frames[2] == 3);
    assert(frame_address(f.machine, frames[0]) == (uint8_t *)f.table[FRONT].status);
    assert(frame_address(f.machine, frames[1]) == (uint8_t *)f.table[FRONT].status + 4096);
    tear_down(&f);
}

static int16_t swap(struct fixture *f, grant_ref_t a, grant_ref_t b)
{
    struct gnttab_swap_grant_ref op = {a, b, 1, 0};
    assert(pv_gnttab_op_swap_grant_ref(f->machine, FRONT, &op, 1) == 0);
    return op.status;
}

/* XSA-18, XSA-134. */
static void swaps(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        set_version(&f, FRONT, version);
        pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
        pv_grant_publish(&f.table[FRONT], 9, THIRD, 6, true);
        assert(swap(&f, 8, f.table[FRONT].count) == GNTST_bad_gntref);
        assert(swap(&f, UINT32_MAX, 8) == GNTST_bad_gntref);
        assert(swap(&f, UINT32_MAX, UINT32_MAX) == GNTST_bad_gntref);
        assert(swap(&f, 8, 8) == GNTST_okay && swap(&f, 8, 9) == GNTST_okay);
        assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly).status < 0);
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 9, GNTMAP_host_map | GNTMAP_readonly);
        assert((uint8_t *)(uintptr_t)op.host_addr == page_of(&f, FRONT, 5));
        assert(swap(&f, 8, 9) == GNTST_eagain && swap(&f, 9, 8) == GNTST_eagain);
        assert(swap(&f, 9, 9) == GNTST_okay);
        tear_down(&f);
    }
}

static void what_the_machine_does_not_have(void)
{
    struct fixture f = set_up();
    struct gnttab_unmap_and_replace replace = {.status = 1};
    assert(pv_gnttab_op_unmap_and_replace(f.machine, BACK, &replace, 1) == -EOPNOTSUPP);
    assert(replace.status == GNTST_general_error);
    struct gnttab_cache_flush flush = {0};
    assert(pv_gnttab_op_cache_flush(f.machine, BACK, &flush, 1) == -EOPNOTSUPP);
    tear_down(&f);
}

static int16_t transfer(struct fixture *f, domid_t from, uint64_t gfn, domid_t to, grant_ref_t ref)
{
    struct gnttab_transfer_x86_64 op = {.mfn = gfn, .domid = to, .ref = ref, .status = 1};
    assert(pv_gnttab_op_transfer(f->machine, from, &op, 1) == 0);
    return op.status;
}

static void transfers(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        const struct pv_grant_entries *front = &f.table[FRONT];
        uint64_t free_before = pv_machine_free_memory(f.machine), frame = 0;
        set_version(&f, FRONT, version);
        assert(transfer(&f, BACK, PAGES, FRONT, 8) == GNTST_bad_page);
        /* A page somebody uses stays. */
        pv_grant_publish(&f.table[BACK], 8, FRONT, 3, true);
        struct gnttab_map_grant_ref held =
            map(&f, FRONT, BACK, 8, GNTMAP_host_map | GNTMAP_readonly);
        assert(transfer(&f, BACK, 3, FRONT, 8) == GNTST_general_error);
        assert(unmap(&f, FRONT, &held, GNTMAP_host_map) == GNTST_okay);
        /* No such domain, no entry for it, no room: the page is gone all the same. */
        assert(transfer(&f, FRONT, 10, 7, 8) == GNTST_bad_domain);
        assert(pv_domain_gfn_to_mfn(f.machine, FRONT, 10) < 0);
        assert(transfer(&f, BACK, 4, FRONT, 8) == GNTST_general_error);
        pv_grant_publish_transfer(front, 8, BACK, 11);
        assert(transfer(&f, BACK, 5, FRONT, 8) == GNTST_general_error); /* gfn 11 is taken */
        pv_grant_publish_transfer(front, 8, THIRD, 10);
        assert(transfer(&f, BACK, 6, FRONT, 8) == GNTST_general_error); /* not from BACK */
        assert(pv_machine_free_memory(f.machine) == free_before + 4 * 4096);
        assert(pv_grant_end_transfer(front, 8, &frame) == -ENOENT);
        pv_grant_publish_transfer(front, 8, WIDE, 10);
        assert(transfer(&f, WIDE, 6, FRONT, 8) == GNTST_general_error); /* another page size */
        pv_grant_publish_transfer(front, 8, BACK, 10);
        memset(page_of(&f, BACK, 7), 0x77, 4096);
        assert(transfer(&f, BACK, 7, FRONT, 8) == GNTST_okay);
        assert(pv_domain_gfn_to_mfn(f.machine, BACK, 7) < 0);
        assert(page_of(&f, FRONT, 10)[4095] == 0x77 && references(&f, FRONT, 10) == 1);
        assert(transfer(&f, BACK, 8, FRONT, 8) == GNTST_general_error); /* taken already */
        assert(map(&f, THIRD, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
        assert(pv_grant_end_transfer(front, 8, &frame) == 0 && frame == 10);
        pv_grant_publish(front, 9, BACK, 10, true); /* it is the receiver's to grant now */
        assert(copy(&f, BACK, from_grant(FRONT, 9, 0, 64, 1)) == GNTST_okay);
        assert(pv_domain_destroy(f.machine, FRONT) == 0);
        assert(transfer(&f, BACK, 9, FRONT, 8) == GNTST_bad_domain);
        tear_down(&f);
    }
}

int main(void)
{
    versions();
    version_2_may_be_switched_off();
    switching_for_ever_leaks_nothing();
    sizes();
    status_frames();
    swaps();
    what_the_machine_does_not_have();
    transfers();
    return 0;
}
