/* Mapping: rights, pins, partial unmaps, limits, and pages that outlive their granter. */
#include "grant_test.h"

#include "pvdrivers/sim/machine_events.h"

#define BOTH (GNTMAP_host_map | GNTMAP_device_map)

static void maps_see_the_page_in_both_versions(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        set_version(&f, FRONT, version);
        pv_grant_publish(&f.table[FRONT], 9, BACK, 5, false);
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 9, GNTMAP_host_map);
        assert(op.status == GNTST_okay);
        assert((uint8_t *)(uintptr_t)op.host_addr == page_of(&f, FRONT, 5));
        assert(PINS(&f, FRONT, 9) == 1 && references(&f, FRONT, 5) == 2);
        assert(pv_grant_query(&f.table[FRONT], 9) == (GTF_reading | GTF_writing));
        assert(pv_grant_end(&f.table[FRONT], 9) == -EBUSY);
        assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
        assert(PINS(&f, FRONT, 9) == 0 && references(&f, FRONT, 5) == 1);
        assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_bad_handle);
        assert(pv_grant_end(&f.table[FRONT], 9) == 0);
        assert(map(&f, BACK, FRONT, 9, GNTMAP_host_map).status == GNTST_general_error);
        tear_down(&f);
    }
}

static void each_refusal_has_its_code(void)
{
    struct fixture f = set_up();
    const struct pv_grant_entries *t = &f.table[FRONT];
    pv_grant_publish(t, 8, BACK, 5, true);
    pv_grant_publish(t, 9, THIRD, 5, false);
    pv_grant_publish(t, 10, BACK, PAGES, false); /* no such page */
    pv_grant_publish_transfer(t, 11, BACK, 5);
    assert(map(&f, BACK, FRONT, 8, 0).status == GNTST_bad_gntref);
    assert(map(&f, BACK, FRONT, t->count, GNTMAP_host_map).status == GNTST_bad_gntref);
    assert(map(&f, BACK, FRONT, UINT32_MAX, GNTMAP_host_map).status == GNTST_bad_gntref);
    assert(map(&f, BACK, 7, 8, GNTMAP_host_map).status == GNTST_bad_domain);
    assert(map(&f, BACK, DOMID_INVALID, 8, GNTMAP_host_map).status == GNTST_bad_domain);
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
    assert(map(&f, BACK, FRONT, 9, GNTMAP_host_map).status == GNTST_general_error);
    assert(map(&f, BACK, FRONT, 10, GNTMAP_host_map).status == GNTST_bad_page);
    assert(map(&f, BACK, FRONT, 11, GNTMAP_host_map).status == GNTST_general_error);
    for (grant_ref_t ref = 8; ref < 12; ref++) /* XSA-50: nothing stays behind */
        assert(PINS(&f, FRONT, ref) == 0 && !(flags_of(&f, FRONT, ref) & GTF_writing));
    assert(references(&f, FRONT, 5) == 1 && pv_gnttab_handles(f.machine, BACK) == 0);
    struct gnttab_map_grant_ref none = {.handle = 77};
    assert(unmap(&f, BACK, &none, BOTH) == GNTST_bad_handle);
    tear_down(&f);
}

static void a_reader_may_not_become_a_writer_of_a_readonly_grant(void)
{
    for (uint32_t version = 1; version <= 2; version++) {
        struct fixture f = set_up();
        set_version(&f, FRONT, version);
        pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
        assert(op.status == GNTST_okay && PINS(&f, FRONT, 8) == 1 << 8);
        assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
        assert(pv_grant_query(&f.table[FRONT], 8) == GTF_reading);
        assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
        assert(pv_grant_query(&f.table[FRONT], 8) == 0);
        tear_down(&f);
    }
}

/* XSA-224, XSA-394: host and device mappings go one by one, in any order, each once. */
static void partial_unmaps(void)
{
    for (int order = 0; order < 2; order++) {
        struct fixture f = set_up();
        pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, BOTH);
        uint32_t first = order ? GNTMAP_host_map : GNTMAP_device_map;
        assert(PINS(&f, FRONT, 8) == 0x10001 && references(&f, FRONT, 5) == 2);
        assert(unmap(&f, BACK, &op, 0) == GNTST_okay && PINS(&f, FRONT, 8) == 0x10001);
        assert(unmap(&f, BACK, &op, first) == GNTST_okay);
        assert(unmap(&f, BACK, &op, first) == GNTST_okay); /* nothing left of it to unmap */
        assert(PINS(&f, FRONT, 8) == (order ? 0x10000 : 1));
        assert(pv_gnttab_handles(f.machine, BACK) == 1);
        assert(pv_grant_query(&f.table[FRONT], 8) == (GTF_reading | GTF_writing));
        assert(unmap(&f, BACK, &op, BOTH & ~first) == GNTST_okay);
        assert(PINS(&f, FRONT, 8) == 0 && references(&f, FRONT, 5) == 1);
        assert(pv_gnttab_handles(f.machine, BACK) == 0);
        tear_down(&f);
    }
}

static void wrong_addresses_unmap_nothing(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, BOTH), wrong = op;
    wrong.host_addr += 4096;
    assert(unmap(&f, BACK, &wrong, GNTMAP_host_map) == GNTST_general_error);
    assert(unmap(&f, BACK, &wrong, BOTH) == GNTST_general_error);
    wrong = op;
    wrong.dev_bus_addr += 4096;
    assert(unmap(&f, BACK, &wrong, GNTMAP_device_map) == GNTST_general_error);
    assert(PINS(&f, FRONT, 8) == 0x10001);
    assert(unmap(&f, THIRD, &op, BOTH) == GNTST_bad_handle); /* handles are per domain */
    assert(unmap(&f, BACK, &op, BOTH) == GNTST_okay);
    tear_down(&f);
}

static void a_pin_counter_never_wraps(void)
{
    struct fixture f = set_up();
    static struct gnttab_map_grant_ref ops[255];
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    for (int i = 0; i < 255; i++) {
        ops[i] = map(&f, BACK, FRONT, 8, GNTMAP_host_map);
        assert(ops[i].status == GNTST_okay);
    }
    assert(PINS(&f, FRONT, 8) == 255);
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_general_error);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 16, 1)) == GNTST_okay); /* its own counter */
    for (int i = 0; i < 255; i++)
        assert(unmap(&f, BACK, &ops[i], GNTMAP_host_map) == GNTST_okay);
    assert(PINS(&f, FRONT, 8) == 0 && references(&f, FRONT, 5) == 1);
    tear_down(&f);
}

/* What was captured at the first pin counts, whatever the guest writes into the entry later. */
static void edits_of_a_pinned_entry_change_nothing(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref first = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
    pv_grant_entry_v1(&f.table[FRONT], 8)->frame = 6;
    struct gnttab_map_grant_ref again = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
    assert(again.status == GNTST_okay && again.host_addr == first.host_addr);
    /* A new right, to write, is to the page in the entry: another one by now (XSA-500). */
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
    assert(copy(&f, BACK, to_grant(1, FRONT, 8, 0, 16)) == GNTST_general_error);
    assert(map(&f, THIRD, FRONT, 8, GNTMAP_host_map).status == GNTST_general_error);
    assert(pv_grant_query(&f.table[FRONT], 8) == GTF_reading);
    assert(unmap(&f, BACK, &first, GNTMAP_host_map) == GNTST_okay);
    assert(unmap(&f, BACK, &again, GNTMAP_host_map) == GNTST_okay);
    assert(references(&f, FRONT, 5) == 1 && references(&f, FRONT, 6) == 1);
    tear_down(&f);
}

static void no_handle_left(void)
{
    struct fixture f = set_up();
    struct pv_domain_config config = {
        .abi = PV_ABI_X86_64, .memory = 1 << 20, .vcpus = 1, .max_maptrack_frames = 1};
    assert(pv_domain_create(f.machine, 5, &config) == 5);
    static struct gnttab_map_grant_ref ops[300];
    for (grant_ref_t ref = 8; ref < 308; ref++) {
        pv_grant_publish(&f.table[FRONT], ref, 5, 5, true);
        ops[ref - 8] = (struct gnttab_map_grant_ref){
            .ref = ref, .dom = FRONT, .flags = GNTMAP_host_map | GNTMAP_readonly};
    }
    ops[10].ref = 0; /* a refused element takes no handle */
    assert(pv_gnttab_op_map(f.machine, 5, ops, 300) == 0);
    assert(ops[10].status == GNTST_general_error);
    for (int i = 0; i < 300; i++)
        assert(i == 10 || ops[i].status == (i < 257 ? GNTST_okay : GNTST_no_space));
    assert(unmap(&f, 5, &ops[3], GNTMAP_host_map) == GNTST_okay);
    assert(map(&f, 5, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly).handle == ops[3].handle);
    tear_down(&f);
}

static void pages_outlive_their_granter(void)
{
    struct fixture f = set_up();
    uint64_t free_before = pv_machine_free_memory(f.machine);
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, BOTH);
    memset(page_of(&f, FRONT, 5), 0x5A, 4096);
    assert(pv_domain_destroy(f.machine, FRONT) == 0);
    struct pv_domain_info info;
    assert(pv_domain_info(f.machine, FRONT, &info) == 0 && info.state == PV_DOMAIN_DYING);
    assert(pv_machine_free_memory(f.machine) == free_before + (PAGES - 1) * 4096);
    assert(((uint8_t *)(uintptr_t)op.host_addr)[4095] == 0x5A);
    assert(map(&f, BACK, FRONT, 8, GNTMAP_host_map).status == GNTST_bad_domain);
    assert(unmap(&f, BACK, &op, BOTH) == GNTST_okay);
    assert(pv_domain_info(f.machine, FRONT, &info) == -ESRCH);
    assert(pv_machine_free_memory(f.machine) == free_before + PAGES * 4096);
    f.hv[FRONT]->ops->close(f.hv[FRONT]);
    add_domain(&f, FRONT); /* the domid's next life starts clean */
    assert(PINS(&f, FRONT, 8) == 0 && flags_of(&f, FRONT, 8) == 0);
    tear_down(&f);
}

static void a_mapper_that_dies_lets_go(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    pv_grant_publish(&f.table[FRONT], 9, BACK, 5, false);
    assert(map(&f, BACK, FRONT, 8, BOTH).status == GNTST_okay);
    assert(map(&f, BACK, FRONT, 9, GNTMAP_host_map).status == GNTST_okay);
    assert(pv_domain_destroy(f.machine, BACK) == 0);
    assert(PINS(&f, FRONT, 8) == 0 && PINS(&f, FRONT, 9) == 0 && references(&f, FRONT, 5) == 1);
    assert(pv_grant_end(&f.table[FRONT], 8) == 0 && pv_grant_end(&f.table[FRONT], 9) == 0);
    tear_down(&f);
}

/* Unmapping its own grant must not bury a domain that is still being taken apart. */
static void a_domain_that_maps_itself(void)
{
    struct fixture f = set_up();
    uint64_t free_before = pv_machine_free_memory(f.machine);
    struct pv_domain_info info;
    pv_grant_publish(&f.table[FRONT], 8, FRONT, 5, false);
    pv_grant_publish(&f.table[FRONT], 9, FRONT, 6, false);
    assert(map(&f, FRONT, FRONT, 8, BOTH).status == GNTST_okay);
    assert(map(&f, FRONT, FRONT, 9, BOTH).status == GNTST_okay);
    assert(pv_domain_destroy(f.machine, FRONT) == 0);
    assert(pv_domain_info(f.machine, FRONT, &info) == -ESRCH);
    assert(pv_machine_free_memory(f.machine) == free_before + PAGES * 4096);
    tear_down(&f);
}

static void the_seam(void)
{
    struct fixture f = set_up();
    const struct pv_hypervisor_ops *ops = f.hv[BACK]->ops;
    uint8_t *pages = f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 3);
    grant_ref_t refs[3];
    for (int i = 0; i < 3; i++) {
        pages[i * 4096] = (uint8_t)('a' + i);
        assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, pages + i * 4096, false,
                                              &refs[i]) == 0);
        assert(refs[i] >= GNTTAB_NR_RESERVED_ENTRIES);
    }
    grant_ref_t backwards[3] = {refs[2], refs[1], refs[0]};
    uint8_t *window = ops->gnttab_map_contiguous(f.hv[BACK], FRONT, backwards, 3, false);
    assert(window[0] == 'c' && window[4096] == 'b' && window[8192] == 'a');
    window[1] = 'z';
    assert(pages[2 * 4096 + 1] == 'z');
    assert(f.hv[FRONT]->ops->grant_end(f.hv[FRONT], refs[0]) == -EBUSY);
    assert(ops->gnttab_unmap_contiguous(f.hv[BACK], window + 4096, 3) == -EINVAL);
    assert(ops->gnttab_unmap_contiguous(f.hv[BACK], window, 3) == 0);
    backwards[1] = 500; /* nothing stays mapped when one page cannot be */
    assert(!ops->gnttab_map_contiguous(f.hv[BACK], FRONT, backwards, 3, false));
    assert(errno == EINVAL && pv_gnttab_handles(f.machine, BACK) == 0);
    assert(ops->gnttab_map_contiguous(f.hv[BACK], FRONT, refs, 1, true) ==
           page_of(&f, FRONT, (uint64_t)pv_domain_page_to_gfn(f.hv[FRONT], pages)));
    f.hv[BACK]->ops->close(f.hv[BACK]); /* what a view mapped goes with it */
    f.hv[BACK] = NULL;
    assert(pv_gnttab_handles(f.machine, BACK) == 0);
    for (int i = 0; i < 3; i++)
        assert(f.hv[FRONT]->ops->grant_end(f.hv[FRONT], refs[i]) == 0);
    assert(f.hv[FRONT]->ops->grant_end(f.hv[FRONT], refs[0]) == -EINVAL);
    tear_down(&f);
}

static void a_closed_view_leaves_busy_grants_to_the_peer(void)
{
    struct fixture f = set_up();
    uint8_t *page = f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1);
    grant_ref_t ref, other;
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &ref) == 0);
    struct pv_grant_map held = {.ref = ref, .domid = FRONT, .flags = GNTMAP_host_map};
    assert(f.hv[BACK]->ops->gnttab_map(f.hv[BACK], &held, 1) == 0 && held.status == 0);
    f.hv[FRONT]->ops->close(f.hv[FRONT]);
    assert(PINS(&f, FRONT, ref) == 1);
    assert(pv_machine_open_hypervisor(f.machine, FRONT, &f.hv[FRONT]) == 0);
    page = f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1);
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &other) == 0);
    assert(other != ref && f.hv[FRONT]->ops->grant_end(f.hv[FRONT], other) == 0);
    assert(f.hv[FRONT]->ops->grant_end(f.hv[FRONT], ref) == -EINVAL); /* ended already */
    assert(f.hv[BACK]->ops->gnttab_unmap(f.hv[BACK], &held, 1) == 0 && held.status == 0);
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &other) == 0);
    assert(other == ref); /* free again, once, now that the peer has unmapped it */
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &other) == 0);
    assert(other != ref);
    tear_down(&f);
}

static void the_table_grows_with_the_grants(void)
{
    struct fixture f = set_up();
    uint8_t *page = f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1);
    grant_ref_t ref;
    for (uint32_t i = GNTTAB_NR_RESERVED_ENTRIES; i < 64 * 512; i++)
        assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, true, &ref) == 0 &&
               ref == i);
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, true, &ref) == -ENOSPC);
    assert(map(&f, BACK, FRONT, 64 * 512 - 1, GNTMAP_host_map | GNTMAP_readonly).status == 0);
    tear_down(&f);
}

/* Refs that the table has no more are not given out. */
static void the_table_shrinks_with_its_version(void)
{
    struct fixture f = set_up();
    struct pv_hypervisor *hv = f.hv[FRONT];
    uint8_t *page = hv->ops->pages_alloc(hv, 1);
    grant_ref_t refs[300], ref;
    for (unsigned i = 0; i < 300; i++)
        assert(hv->ops->grant_access(hv, BACK, page, true, &refs[i]) == 0);
    for (unsigned i = 0; i < 300; i++)
        assert(hv->ops->grant_end(hv, refs[i]) == 0);
    set_version(&f, FRONT, 2);
    assert(f.table[FRONT].count == 256);
    for (unsigned i = 0; i < 300; i++) {
        int error = hv->ops->grant_access(hv, BACK, page, true, &ref);
        assert(error == -ENOSPC || (error == 0 && ref < 256));
    }
    tear_down(&f);
}

static void what_xen_would_charge(void)
{
    struct fixture f = set_up();
    uint64_t accounts[PV_ACCOUNT_COUNT];
    struct gnttab_map_grant_ref ops[3] = {{.ref = 8, .dom = FRONT, .flags = BOTH},
                                          {.ref = 9, .dom = FRONT, .flags = BOTH},
                                          {.ref = 8, .dom = 7, .flags = BOTH}};
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    assert(pv_gnttab_op_map(f.machine, BACK, ops, 3) == 0);
    assert(copy(&f, BACK, from_grant(FRONT, 8, 0, 100, 1)) == GNTST_okay);
    assert(unmap(&f, BACK, &ops[0], BOTH) == GNTST_okay);
    assert(pv_domain_accounts(f.machine, BACK, accounts) == 0);
    assert(accounts[PV_ACCOUNT_GNTTAB_MAP_CALL] == 1 && accounts[PV_ACCOUNT_GRANTS_MAPPED] == 1);
    assert(accounts[PV_ACCOUNT_GNTTAB_COPY_CALL] == 1 && accounts[PV_ACCOUNT_GRANTS_COPIED] == 1);
    assert(accounts[PV_ACCOUNT_GNTTAB_UNMAP_CALL] == 1);
    assert(accounts[PV_ACCOUNT_GRANTS_UNMAPPED] == 1);
    assert(accounts[PV_ACCOUNT_BYTES_COPIED] == 100 && accounts[PV_ACCOUNT_GRANT_FAILURES] == 2);
    tear_down(&f);
}

static bool told(struct fixture *f, evtchn_port_t port)
{
    struct pv_event_view view;
    uint32_t heads[16] = {0};
    assert(pv_machine_event_view(f->machine, FRONT, 0, heads, &view) == 0);
    bool pending = pv_event_is_pending(&view, port);
    pv_event_clear_pending(&view, port);
    return pending;
}

/* SET_UNMAP_NOTIFY: the granter is told of the unmap, also when a process died. */
static void the_granter_is_told_of_an_unmap(void)
{
    struct fixture f = set_up();
    evtchn_port_t front_port, port;
    assert(pv_evtchn_op_alloc_unbound(f.machine, FRONT, FRONT, BACK, &front_port) == 0);
    assert(pv_evtchn_op_bind_interdomain(f.machine, BACK, FRONT, front_port, &port) == 0);
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, false);
    pv_grant_publish(&f.table[FRONT], 9, BACK, 5, true);
    uint8_t *byte = page_of(&f, FRONT, 5) + 4095;
    for (int killed = 0; killed < 2; killed++) {
        struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, BOTH);
        assert(pv_gnttab_set_unmap_notify(f.machine, BACK, op.handle, true, 4095, port) == 0);
        *byte = 1;
        told(&f, front_port);
        assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
        assert(*byte == 1 && !told(&f, front_port)); /* it is mapped still */
        if (killed)
            grants_subsystem.client_left(f.machine, f.machine->client);
        else
            assert(unmap(&f, BACK, &op, GNTMAP_device_map) == GNTST_okay);
        assert(*byte == 0 && told(&f, front_port));
    }
    /* A handle used again has no notice left to send. */
    struct gnttab_map_grant_ref again = map(&f, BACK, FRONT, 9, GNTMAP_host_map | GNTMAP_readonly);
    *byte = 1;
    assert(pv_gnttab_set_unmap_notify(f.machine, BACK, again.handle, true, 0, port) == -EINVAL);
    assert(pv_gnttab_set_unmap_notify(f.machine, BACK, again.handle, false, 4096, 0) == -EINVAL);
    assert(pv_gnttab_set_unmap_notify(f.machine, BACK, again.handle, false, 0, 1u << 17) ==
           -EINVAL);
    assert(unmap(&f, BACK, &again, GNTMAP_host_map) == GNTST_okay);
    assert(*byte == 1 && !told(&f, front_port));
    assert(pv_gnttab_set_unmap_notify(f.machine, BACK, again.handle, false, 0, port) == -EINVAL);
    tear_down(&f);
}

/* An entry in use is not looked at again, but whose it is has not changed. */
static void only_the_grantee(void)
{
    struct fixture f = set_up();
    pv_grant_publish(&f.table[FRONT], 8, BACK, 5, true);
    struct gnttab_map_grant_ref op = map(&f, BACK, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly);
    assert(op.status == GNTST_okay);
    assert(map(&f, THIRD, FRONT, 8, GNTMAP_host_map | GNTMAP_readonly).status ==
           GNTST_general_error);
    assert(copy(&f, THIRD, from_grant(FRONT, 8, 0, 8, 1)) == GNTST_general_error);
    assert(unmap(&f, BACK, &op, GNTMAP_host_map) == GNTST_okay && PINS(&f, FRONT, 8) == 0);
    tear_down(&f);
}

/* One call for handles on several domains' grants. */
static void unmapped_together(void)
{
    struct fixture f = set_up();
    struct gnttab_unmap_grant_ref ops[6];
    for (unsigned i = 0; i < 6; i++) {
        domid_t granter = i % 3 ? FRONT : THIRD;
        pv_grant_publish(&f.table[granter], 8 + i, BACK, i, false);
        struct gnttab_map_grant_ref op = map(&f, BACK, granter, 8 + i, GNTMAP_host_map);
        assert(op.status == GNTST_okay);
        ops[i] = (struct gnttab_unmap_grant_ref){
            .handle = op.handle, .host_addr = op.host_addr, .status = 1};
    }
    assert(pv_gnttab_op_unmap(f.machine, BACK, ops, 6) == 0);
    for (unsigned i = 0; i < 6; i++)
        assert(ops[i].status == GNTST_okay && PINS(&f, i % 3 ? FRONT : THIRD, 8 + i) == 0);
    assert(pv_gnttab_handles(f.machine, BACK) == 0);
    tear_down(&f);
}

int main(void)
{
    only_the_grantee();
    unmapped_together();
    the_granter_is_told_of_an_unmap();
    maps_see_the_page_in_both_versions();
    each_refusal_has_its_code();
    a_reader_may_not_become_a_writer_of_a_readonly_grant();
    partial_unmaps();
    wrong_addresses_unmap_nothing();
    a_pin_counter_never_wraps();
    edits_of_a_pinned_entry_change_nothing();
    no_handle_left();
    pages_outlive_their_granter();
    a_mapper_that_dies_lets_go();
    a_domain_that_maps_itself();
    the_seam();
    a_closed_view_leaves_busy_grants_to_the_peer();
    the_table_grows_with_the_grants();
    the_table_shrinks_with_its_version();
    what_xen_would_charge();
    return 0;
}
