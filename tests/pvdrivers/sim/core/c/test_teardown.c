/* The end of a domain, in steps, and what is refused to those who still hold something of it. */
#include "stepping.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

#include "pvdrivers/sim/events/internal.h"

#define GREFS 4200u /* of FRONT, each mapped until its pin counter is full */
#define PINS_OF_A_COUNTER 255u

static void grant_many_refs(struct fixture *f)
{
    struct gnttab_setup_table_x86_64 setup = {.dom = DOMID_SELF, .nr_frames = 16};
    uint64_t frames[16];
    setup.frame_list = (uintptr_t)frames;
    assert(pv_gnttab_op_setup_table(f->machine, FRONT, &setup) == 0 && setup.status == 0);
    assert(pv_gnttab_entries(f->machine, FRONT, &f->table[FRONT]) == 0);
    for (grant_ref_t ref = 8; ref < 8 + GREFS; ref++)
        pv_grant_publish(&f->table[FRONT], ref, WIDE, ref % PAGES, true);
}

/* Maps until no handle is left; how many that were. */
static uint64_t fill_maptrack(struct fixture *f)
{
    static struct gnttab_map_grant_ref ops[PINS_OF_A_COUNTER];
    uint64_t mapped = 0;
    for (grant_ref_t ref = 8; ref < 8 + GREFS; ref++) {
        for (unsigned i = 0; i < PINS_OF_A_COUNTER; i++)
            ops[i] = (struct gnttab_map_grant_ref){
                .flags = GNTMAP_host_map | GNTMAP_readonly, .ref = ref, .dom = FRONT};
        assert(pv_gnttab_op_map(f->machine, WIDE, ops, PINS_OF_A_COUNTER) == 0);
        for (unsigned i = 0; i < PINS_OF_A_COUNTER; i++)
            mapped += ops[i].status == GNTST_okay;
        if (ops[PINS_OF_A_COUNTER - 1].status == GNTST_no_space)
            return mapped;
    }
    return 0;
}

/* A call for each lock that the teardown of WIDE takes, its granter's first, and the whole life of
 * another domain: a lock held from one step to the next would stop the former forever, a read-side
 * section the latter. */
static void others_proceed(struct fixture *f)
{
    const domid_t domid = DOMAINS;
    struct pv_domain_config config = {.memory = 4096, .vcpus = 1};
    evtchn_port_t port;
    struct gnttab_map_grant_ref op = map(f, BACK, FRONT, 8 + GREFS, GNTMAP_host_map);
    assert(op.status == GNTST_okay && unmap(f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
    assert(copy(f, BACK, from_grant(FRONT, 8 + GREFS, 0, 16, 1)) == GNTST_okay);
    assert(pv_evtchn_op_alloc_unbound(f->machine, BACK, WIDE, FRONT, &port) == -EINVAL);
    assert(pv_domain_create(f->machine, domid, &config) == domid);
    assert(pv_domain_destroy(f->machine, domid) == 0 && !find_domain(f->machine, domid));
}

/* XSA-380: with the largest maptrack, every step is small, and other calls run in between. */
static void the_largest_maptrack_goes_in_bounded_steps(void)
{
    struct fixture f = set_up();
    grant_many_refs(&f);
    pv_grant_publish(&f.table[FRONT], 8 + GREFS, BACK, 5, false);
    assert(fill_maptrack(&f) == MAX_MAPTRACK_ENTRIES);
    struct teardown teardown;
    uint64_t handles = MAX_MAPTRACK_ENTRIES, steps = 0;
    assert(domain_teardown_begin(f.machine, WIDE, &teardown) == 0);
    while (domain_teardown_step(f.machine, &teardown)) {
        uint64_t left = (uint64_t)pv_gnttab_handles(f.machine, WIDE);
        assert(handles - left <= 1024);
        handles = left;
        steps++;
        others_proceed(&f);
    }
    assert(handles == 0 && steps >= MAX_MAPTRACK_ENTRIES / 1024);
    reap_domains(f.machine);
    assert(!find_domain(f.machine, WIDE));
    for (grant_ref_t ref = 8; ref < 8 + GREFS; ref++)
        assert(PINS(&f, FRONT, ref) == 0);
    tear_down(&f);
}

/* A process that was killed in the middle of it leaves the rest to the next who destroys it. */
static void given_up_half_way_and_begun_again(void)
{
    struct fixture f = set_up();
    struct teardown teardown;
    uint64_t free_before = pv_machine_free_memory(f.machine);
    assert(domain_teardown_begin(f.machine, FRONT, &teardown) == 0);
    domain_teardown_step(f.machine, &teardown);
    assert(!f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1) && errno == ESRCH);
    reap_domains(f.machine);
    assert(find_domain(f.machine, FRONT)); /* although nothing is in use */
    assert(pv_domain_destroy(f.machine, FRONT) == 0 && !find_domain(f.machine, FRONT));
    assert(pv_machine_free_memory(f.machine) == free_before + PAGES * 4096);
    assert(domain_teardown_begin(f.machine, FRONT, &teardown) == -ESRCH);
    tear_down(&f);
}

/* Its ports are still there, but not to be bound to any more. */
static void a_dying_domain_gets_no_new_peers(void)
{
    struct fixture f = set_up();
    struct teardown teardown;
    evtchn_port_t port, bound;
    assert(pv_evtchn_op_alloc_unbound(f.machine, FRONT, DOMID_SELF, BACK, &port) == 0);
    assert(domain_teardown_begin(f.machine, FRONT, &teardown) == 0);
    assert(pv_evtchn_op_bind_interdomain(f.machine, BACK, FRONT, port, &bound) == -EINVAL);
    assert(pv_evtchn_op_bind_ipi(f.machine, FRONT, 0, &bound) == -EINVAL);
    assert(pv_domain_destroy(f.machine, FRONT) == 0);
    tear_down(&f);
}

/* Two toolstacks, one domain: who comes second does nothing, least of all to the next life. */
static void two_at_once(void)
{
    struct fixture f = set_up();
    struct teardown late;
    evtchn_port_t port;
    assert(domain_teardown_begin(f.machine, THIRD, &late) == 0);
    assert(pv_domain_destroy(f.machine, THIRD) == 0);
    struct pv_domain_config config = {.memory = PAGES * 4096, .vcpus = 1};
    assert(pv_domain_create(f.machine, THIRD, &config) == THIRD);
    assert(pv_evtchn_op_bind_ipi(f.machine, THIRD, 0, &port) == 0);
    assert(!domain_teardown_step(f.machine, &late));
    struct pv_domain_info info;
    assert(pv_domain_info(f.machine, THIRD, &info) == 0 && info.pages == PAGES);
    assert(pv_evtchn_op_send(f.machine, THIRD, port) == 0);
    tear_down(&f);
}

/* What a process opened in one life is of no use in the next, whose domid is the same. */
static void what_was_opened_in_an_earlier_life(void)
{
    struct fixture f = set_up();
    struct pv_hypervisor *hv = f.hv[FRONT];
    const struct pv_hypervisor_ops *ops = hv->ops;
    struct pv_evtchn *handle = ops->evtchn_open(hv);
    struct pv_upcall *upcall;
    void *page = ops->pages_alloc(hv, 1);
    int port = ops->evtchn_bind_unbound_port(handle, BACK);
    assert(page && port > 0);
    assert(pv_upcall_open(f.machine, FRONT, 0, &upcall) == 0);
    assert(pv_domain_destroy(f.machine, FRONT) == 0);
    add_domain(&f, FRONT); /* with a view and a table of its own in f */
    evtchn_port_t next;
    assert(pv_evtchn_op_bind_ipi(f.machine, FRONT, 0, &next) == 0 && next == (evtchn_port_t)port);
    pv_grant_publish(&f.table[BACK], 8, FRONT, 5, false);

    struct pv_grant_map mapping = {.ref = 8, .domid = BACK, .flags = GNTMAP_host_map};
    struct pv_grant_copy copying = {.len = 8, .flags = GNTCOPY_source_gref, .status = 1};
    grant_ref_t ref;
    uint64_t gfn = 1;
    assert(ops->gnttab_map(hv, &mapping, 1) == -ESRCH && mapping.status < 0);
    assert(ops->gnttab_unmap(hv, &mapping, 1) == -ESRCH && mapping.status < 0);
    assert(ops->gnttab_copy(hv, &copying, 1) == -ESRCH && copying.status < 0);
    assert(ops->grant_access(hv, BACK, page, false, &ref) == -ESRCH);
    assert(ops->grant_end(hv, 8) == -ESRCH);
    assert(!ops->pages_alloc(hv, 1) && errno == ESRCH);
    assert(ops->pages_free(hv, page, 1) < 0);
    assert(!ops->foreign_map(hv, FRONT, &gfn, 1, true) && errno == ESRCH);
    assert(ops->evtchn_bind_unbound_port(handle, BACK) == -ESRCH);
    assert(ops->evtchn_bind_interdomain(handle, BACK, 1) == -ESRCH);
    assert(ops->evtchn_bind_virq(handle, VIRQ_TIMER) == -ESRCH);
    assert(ops->evtchn_unbind(handle, next) == -ESRCH);
    assert(ops->evtchn_notify(handle, next) == -ESRCH);
    assert(ops->evtchn_pending(handle) == -ESRCH);
    assert(ops->evtchn_unmask(handle, next) == -ESRCH);
    assert(pv_evtchn_bind_static(handle, next) == -ESRCH);
    assert(pv_upcall_take(upcall) == -ESRCH);

    struct gnttab_map_grant_ref kept = map(&f, FRONT, BACK, 8, GNTMAP_host_map);
    assert(kept.status == GNTST_okay);
    pv_upcall_close(upcall);
    ops->evtchn_close(handle);
    ops->close(hv);
    assert(PINS(&f, BACK, 8) == 1 && pv_evtchn_op_send(f.machine, FRONT, next) == 0);
    assert(unmap(&f, FRONT, &kept, GNTMAP_host_map) == GNTST_okay);
    tear_down(&f);
}

/* ---- Calls under way ------------------------------------------------------------------------- */

static struct fixture stepped;

static int ask_for_handles(void *unused)
{
    (void)unused;
    return pv_gnttab_handles(stepped.machine, FRONT) == -ESRCH;
}

static bool is_in_a_call(void *unused)
{
    (void)unused;
    const struct machine *shared = stepped.machine->shared;
    const uint64_t *readers = shared->clients[stepped.machine->client].readers;
    return __atomic_load_n(&readers[0], __ATOMIC_ACQUIRE) +
               __atomic_load_n(&readers[1], __ATOMIC_ACQUIRE) >
           0;
}

/* No call finds it any more; the last call that may have found it before wipes it when it ends. */
static void wiped_after_the_last_call(void)
{
    stepped = set_up();
    const struct domain *front = domain_window(stepped.machine, FRONT);
    pv_grant_publish(&stepped.table[FRONT], 8, BACK, 5, false);
    struct gnttab_map_grant_ref op = map(&stepped, BACK, FRONT, 8, GNTMAP_host_map);
    pid_t process = start_stopped(ask_for_handles, NULL);
    step_until(process, is_in_a_call, NULL);
    assert(pv_domain_destroy(stepped.machine, FRONT) == 0 && find_domain(stepped.machine, FRONT));
    assert(unmap(&stepped, BACK, &op, GNTMAP_host_map) == GNTST_okay);
    assert(!find_domain(stepped.machine, FRONT) && front->ticket);
    assert(run_to_end(process) == true);
    assert(!front->ticket && !front->grant_table.gt_version);
    stepped.hv[FRONT]->ops->close(stepped.hv[FRONT]);
    add_domain(&stepped, FRONT);
    tear_down(&stepped);
}

static int make_a_domain(void *unused)
{
    (void)unused;
    struct pv_domain_config config = {.memory = 4096, .vcpus = 1};
    return pv_domain_create(stepped.machine, DOMAINS, &config) == DOMAINS;
}

static bool has_a_page(void *unused)
{
    (void)unused;
    const struct domain *d = domain_window(stepped.machine, DOMAINS);
    return __atomic_load_n(&d->tot_pages, __ATOMIC_ACQUIRE) == 1 &&
           __atomic_load_n(&stepped.machine->shared->lock.__data.__lock, __ATOMIC_ACQUIRE) == 0;
}

/* A domain that is being made cannot be found yet, and no other gets its domid. */
static void half_made(void)
{
    stepped = set_up();
    struct pv_domain_config config = {.memory = 4096, .vcpus = 1};
    pid_t process = start_stopped(make_a_domain, NULL);
    step_until(process, has_a_page, NULL);
    assert(!find_domain(stepped.machine, DOMAINS));
    assert(pv_domain_destroy(stepped.machine, DOMAINS) == -ESRCH);
    assert(pv_domain_create(stepped.machine, DOMAINS, &config) == -EEXIST);
    assert(run_to_end(process) == true);
    struct pv_domain_info info;
    assert(pv_domain_info(stepped.machine, DOMAINS, &info) == 0 && info.pages == 1);
    tear_down(&stepped);
}

int main(void)
{
    if (STEPPING) { /* and this has a million steps of its own */
        the_largest_maptrack_goes_in_bounded_steps();
        wiped_after_the_last_call();
        half_made();
    }
    given_up_half_way_and_begun_again();
    a_dying_domain_gets_no_new_peers();
    two_at_once();
    what_was_opened_in_an_earlier_life();
    return 0;
}
