/*
 * A process is killed at every change it makes to a page's owner or users: while it gives a page
 * away, takes apart a domain, copies, sets up event channels and a vcpu_info, or takes a page out
 * of use. The next call must find every page either free, offlined, or with one owner, and with no
 * user that is gone.
 */
#include "tests/pvdrivers/sim/core/c/changes.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/sim/events/internal.h"
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/machine_vcpus.h"

#define GFN 20u     /* of the page that FRONT gives to BACK */
#define GRANTED 12u /* FRONT's grant of it */
#define HOLE 21u
#define CONTROL 22u /* pages of FRONT's event channels */
#define ARRAY 23u
#define LOCAL 30u     /* pages that BACK copies to and from */
#define FRAMES 1024ul /* of the machine */

enum { SMALL = DOMAINS, SMALL_WIDE, ALL, NOBODY }; /* more domains */
#define SMALL_PAGES 2u
#define PENDING offsetof(struct shared_info_x86_64, evtchn_pending)

struct scenario {
    void (*prepare)(struct fixture *f);
    void (*run)(struct fixture *f);
    void (*check)(struct fixture *f, uint64_t free_before);
};

/* ---- What a killed process may leave half done ----------------------------------------------- */

/* What holds pages beside their owners: copies under way, and event channels. */
static uint64_t users_of(struct pv_machine *machine, struct domain *d)
{
    const struct event_channels *ec = &d->event_channels;
    const struct copy_run *runs = domain_grant_area(machine, d)->copy_runs;
    const struct active_grant_entry *act = &domain_grant_area(machine, d)->active[GRANTED];
    uint64_t sum = d->grant_table.copies + runs[0].owner * 31 + runs[0].count * 37 +
                   runs[1].owner * 41 + runs[1].count * 43;
    sum = sum * 31 + ec->fifo + ec->vcpu[0].fifo.control_mfn * 31 + ec->event_frame_count * 37 +
          ec->event_frames[0] * 41 + ec->active * 43 + ec->page_pending_repair * 47 +
          d->vcpu[0].info * 53;
    const uint64_t *info = (uint64_t *)(machine->memory + d->vcpu[0].info);
    sum = sum * 31 + info[0] * 31 + info[1] * 37;
    sum = sum * 31 + port_entry(machine, d, 1)->pending + d->grant_table.page_pending_repair * 31;
    sum = sum * 31 + act->pin + act->holds_page * 37 + act->mfn * 41;
    return sum * 31 + *(uint64_t *)domain_xenheap(machine, d, XENHEAP_SHARED_INFO + PENDING);
}

/* The frame table, the lists of free frames and the physmap say who has what. */
static uint64_t state_of(struct fixture *f)
{
    struct pv_machine *machine = f->machine;
    const uint64_t *heap = (uint64_t *)((uint8_t *)machine->shared + machine->shared->layout.heaps);
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(struct heap) / sizeof *heap; i++)
        sum = sum * 1099511628211u + heap[i];
    for (uint64_t mfn = 0; mfn < FRAMES; mfn++) {
        const struct page_info *page = frame_info(machine, mfn);
        sum = (sum * 31 + page->state.word) * 1099511628211u + page->next * 31 + page->prev;
    }
    for (domid_t domid = 0; domid < ALL; domid++) {
        struct domain *d = domain_window(machine, domid);
        sum = sum * 31 + d->state + d->tot_pages + d->grant_table.active_entries;
        sum = sum * 31 + users_of(machine, d);
        for (uint64_t gfn = 0; gfn < PAGES; gfn++)
            sum = sum * 1099511628211u + gfn_to_mfn(machine, d, gfn);
    }
    return sum * 31 + flags_of(f, BACK, 9);
}

/* Every block is free, or has an owner whose physmap says so, or is pinned. */
static void check_frames(struct fixture *f)
{
    struct pv_machine *machine = f->machine;
    uint64_t all = pv_machine_total_memory(machine), free = pv_machine_free_memory(machine);
    uint64_t owned = 0, offlined = 0, pages = 0, counted = 0, frames;
    struct pv_node_memory node;
    for (uint64_t mfn = 0; mfn < all >> FRAME_SHIFT; mfn += frames) {
        struct page_state page = page_state(machine, mfn);
        frames = 1ull << page.order;
        owned += page.flags & PGC_free ? 0 : frames;
        offlined += page.flags & PGC_offlined ? frames : 0;
        assert(page.flags & (PGC_free | PGC_offlined | PGC_allocated) || page.count);
        assert(!(page.flags & (PGC_leaving | PGC_expanding)));
        if (page.flags & PGC_allocated) {
            struct domain *d = find_domain(machine, page.owner);
            assert(d && gfn_to_mfn(machine, d, frame_info(machine, mfn)->next) == mfn);
            pages += frames >> (d->page_shift - FRAME_SHIFT);
        }
    }
    const uint64_t *m2p = (uint64_t *)(machine->memory + machine->shared->layout.m2p);
    for (uint64_t mfn = 0; mfn < FRAMES; mfn++)
        assert(m2p[mfn] == pv_page_gfn(machine, mfn));
    assert(all - free == owned * 4096);
    assert(pv_machine_node_memory(machine, 0, &node) == 0 && node.offlined == offlined * 4096);
    for (domid_t domid = 0; domid < ALL; domid++)
        counted += domain_window(machine, domid)->tot_pages;
    assert(counted == pages);
}

/* All that is free can be had, and is zeros. */
static void check_free(struct fixture *f)
{
    uint64_t free = pv_machine_free_memory(f->machine);
    struct pv_domain_config config = {.memory = 16u << 20, .vcpus = 1};
    while (free > 0) {
        config.memory = free < config.memory ? free : config.memory;
        int domid = pv_domain_create(f->machine, DOMID_INVALID, &config);
        assert(domid >= 0);
        for (uint64_t gfn = 0; gfn < config.memory >> FRAME_SHIFT; gfn++)
            assert(*page_of(f, (domid_t)domid, gfn) == 0);
        free -= config.memory;
    }
    assert(pv_machine_free_memory(f->machine) == 0);
}

/* ---- A page is given away -------------------------------------------------------------------- */

static void prepare_transfer(struct fixture *f)
{
    struct pv_grant_entries *table = &f->table[BACK];
    *page_of(f, FRONT, GFN) = 0x5a;
    /* A hole for it: BACK has given a page to a domain that does not exist. */
    struct gnttab_transfer_x86_64 away = {.mfn = HOLE, .domid = NOBODY};
    assert(pv_gnttab_op_transfer(f->machine, BACK, &away, 1) == 0);
    assert(away.status == GNTST_bad_domain);
    pv_grant_entry_v1(table, 9)->frame = HOLE;
    pv_grant_entry_header(table, 9)->domid = FRONT;
    pv_grant_entry_header(table, 9)->flags = GTF_accept_transfer;
}

static void run_transfer(struct fixture *f)
{
    struct gnttab_transfer_x86_64 op = {.mfn = GFN, .domid = BACK, .ref = 9};
    assert(pv_gnttab_op_transfer(f->machine, FRONT, &op, 1) == 0 && op.status == GNTST_okay);
}

/* The page is here, or there, or free; the entry never promises what will not come. */
static void check_transfer(struct fixture *f, uint64_t free_before)
{
    /* Another call to the receiver repairs the table. */
    struct gnttab_transfer_x86_64 op = {.mfn = HOLE + 1, .domid = BACK, .ref = 10};
    assert(pv_gnttab_op_transfer(f->machine, THIRD, &op, 1) == 0);
    assert(op.status == GNTST_general_error); /* and this page is free */
    bool here = pv_domain_gfn_to_mfn(f->machine, FRONT, GFN) >= 0;
    bool there = pv_domain_gfn_to_mfn(f->machine, BACK, HOLE) >= 0;
    assert(!(here && there));
    assert(!here || *page_of(f, FRONT, GFN) == 0x5a);
    assert(!there || *page_of(f, BACK, HOLE) == 0x5a);
    uint16_t flags = flags_of(f, BACK, 9);
    assert(there ? flags == (GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed)
                 : flags == GTF_accept_transfer);
    uint64_t lost = here || there ? 0 : 4096;
    assert(pv_machine_free_memory(f->machine) == free_before + 4096 + lost);
}

/* ---- A domain is taken apart ----------------------------------------------------------------- */

static void prepare_destroy(struct fixture *f)
{
    struct pv_domain_config config = {.memory = SMALL_PAGES * 4096, .vcpus = 1};
    assert(pv_domain_create(f->machine, SMALL, &config) == SMALL);
    config =
        (struct pv_domain_config){.abi = PV_ABI_IA64, .memory = SMALL_PAGES * 16384, .vcpus = 1};
    assert(pv_domain_create(f->machine, SMALL_WIDE, &config) == SMALL_WIDE);
    for (uint64_t gfn = 0; gfn < SMALL_PAGES; gfn++) {
        *page_of(f, SMALL, gfn) = 0x5a;
        *page_of(f, SMALL_WIDE, gfn) = 0x5a;
    }
}

static void run_destroy(struct fixture *f)
{
    assert(pv_domain_destroy(f->machine, SMALL) == 0);
}

static void run_destroy_wide(struct fixture *f)
{
    assert(pv_domain_destroy(f->machine, SMALL_WIDE) == 0);
}

static void check_destroy(struct fixture *f, uint64_t free_before)
{
    pv_domain_destroy(f->machine, SMALL);
    pv_domain_destroy(f->machine, SMALL_WIDE);
    assert(!find_domain(f->machine, SMALL) && !find_domain(f->machine, SMALL_WIDE));
    assert(pv_machine_free_memory(f->machine) == free_before + SMALL_PAGES * (4096 + 16384));
}

/* ---- A domain is made ------------------------------------------------------------------------ */

static void prepare_creation(struct fixture *f)
{
    (void)f;
}

static void run_creation(struct fixture *f)
{
    struct pv_domain_config config = {.memory = SMALL_PAGES * 4096, .vcpus = 1};
    assert(pv_domain_create(f->machine, SMALL, &config) == SMALL);
}

/* The kernel has closed its files; what it had finished stays. */
static void check_creation(struct fixture *f, uint64_t free_before)
{
    client_leave(f->machine, f->machine->client);
    struct domain *d = find_domain(f->machine, SMALL);
    assert(!d || domain_state(d) == PV_DOMAIN_PAUSED);
    assert(!d || pv_domain_destroy(f->machine, SMALL) == 0);
    assert(pv_machine_free_memory(f->machine) == free_before);
}

/* ---- The last user of a dying domain's page releases it -------------------------------------- */

static struct gnttab_map_grant_ref mapped;

static void grant_page(struct fixture *f)
{
    pv_grant_entry_v1(&f->table[FRONT], GRANTED)->frame = GFN;
    pv_grant_entry_header(&f->table[FRONT], GRANTED)->domid = BACK;
    pv_grant_entry_header(&f->table[FRONT], GRANTED)->flags = GTF_permit_access;
}

static void prepare_last_unmap(struct fixture *f)
{
    *page_of(f, FRONT, GFN) = 0x5a;
    grant_page(f);
    mapped = map(f, BACK, FRONT, GRANTED, GNTMAP_host_map);
    assert(mapped.status == GNTST_okay);
    assert(pv_domain_destroy(f->machine, FRONT) == 0 && find_domain(f->machine, FRONT));
}

static void run_last_unmap(struct fixture *f)
{
    assert(unmap(f, BACK, &mapped, GNTMAP_host_map) == GNTST_okay);
}

static void check_last_unmap(struct fixture *f, uint64_t free_before)
{
    struct domain *d = find_domain(f->machine, FRONT);
    if (d) {
        unmap(f, BACK, &mapped, GNTMAP_host_map); /* done already, or not */
        pv_domain_destroy(f->machine, FRONT);
    }
    assert(!find_domain(f->machine, FRONT));
    assert(pv_machine_free_memory(f->machine) == free_before + 4096);
}

/* ---- Pages are copied ------------------------------------------------------------------------ */

static void run_copy(struct fixture *f)
{
    struct gnttab_copy_x86_64 ops[3] = {from_grant(FRONT, GRANTED, 0, 8, LOCAL),
                                        to_grant(LOCAL + 1, FRONT, GRANTED, 0, 8),
                                        {.len = 8, .flags = 0}};
    ops[2].source.u.gmfn = LOCAL;
    ops[2].dest.u.gmfn = LOCAL + 1;
    ops[2].source.domid = ops[2].dest.domid = DOMID_SELF;
    assert(pv_gnttab_op_copy(f->machine, BACK, ops, 3) == 0);
    for (unsigned i = 0; i < 3; i++)
        assert(ops[i].status == GNTST_okay);
}

/* All that is left of FRONT is given back. */
static void check_destroys_front(struct fixture *f, uint64_t free_before)
{
    assert(pv_domain_destroy(f->machine, FRONT) == 0 && !find_domain(f->machine, FRONT));
    assert(pv_machine_free_memory(f->machine) == free_before + PAGES * 4096);
}

static void check_copy(struct fixture *f, uint64_t free_before)
{
    client_leave(f->machine, f->machine->client);
    assert(PINS(f, FRONT, GRANTED) == 0 && references(f, FRONT, GFN) == 1);
    assert(references(f, BACK, LOCAL) == 1 && references(f, BACK, LOCAL + 1) == 1);
    check_destroys_front(f, free_before);
}

/* ---- Event channels are set up and reset ----------------------------------------------------- */

/* An event that must not be lost waits. */
static void prepare_control(struct fixture *f)
{
    evtchn_port_t port;
    assert(pv_evtchn_op_bind_ipi(f->machine, FRONT, 0, &port) == 0 && port == 1);
    assert(pv_evtchn_op_send(f->machine, FRONT, port) == 0);
}

static void run_control(struct fixture *f)
{
    uint8_t link_bits;
    assert(pv_evtchn_op_init_control(f->machine, FRONT, CONTROL, 0, 0, &link_bits) == 0);
}

static void prepare_array(struct fixture *f)
{
    prepare_control(f);
    run_control(f);
}

static void run_array(struct fixture *f)
{
    assert(pv_evtchn_op_expand_array(f->machine, FRONT, ARRAY) == 0);
}

static void prepare_reset(struct fixture *f)
{
    prepare_array(f);
    run_array(f);
}

static void run_reset(struct fixture *f)
{
    assert(pv_evtchn_op_reset(f->machine, FRONT, DOMID_SELF) == 0);
}

static void check_reset(struct fixture *f, uint64_t free_before)
{
    client_leave(f->machine, f->machine->client);
    run_reset(f);
    assert(references(f, FRONT, CONTROL) == 1 && references(f, FRONT, ARRAY) == 1);
    run_control(f); /* from the beginning, and with one page for both */
    assert(pv_evtchn_op_expand_array(f->machine, FRONT, CONTROL) == 0);
    run_reset(f);
    check_destroys_front(f, free_before);
}

/* Set up to its end by another process, it delivers the event. */
static void check_set_up(struct fixture *f, uint64_t free_before)
{
    uint8_t link_bits;
    uint32_t heads[EVTCHN_FIFO_MAX_QUEUES] = {0};
    evtchn_port_t ports[64];
    struct pv_event_view view;
    client_leave(f->machine, f->machine->client);
    int error = pv_evtchn_op_init_control(f->machine, FRONT, CONTROL, 0, 0, &link_bits);
    assert(error == 0 || error == -EINVAL); /* done already */
    assert(pv_evtchn_op_expand_array(f->machine, FRONT, ARRAY + 1) == 0);
    assert(pv_machine_event_view(f->machine, FRONT, 0, heads, &view) == 0);
    assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == 1);
    check_reset(f, free_before);
}

/* ---- A page of the event channels is mapped -------------------------------------------------- */

static void prepare_shared(struct fixture *f)
{
    uint8_t link_bits;
    grant_page(f);
    assert(pv_evtchn_op_init_control(f->machine, FRONT, GFN, 0, 0, &link_bits) == 0);
}

static void run_shared(struct fixture *f)
{
    struct gnttab_map_grant_ref op = map(f, BACK, FRONT, GRANTED, GNTMAP_host_map);
    assert(unmap(f, BACK, &op, GNTMAP_host_map) == GNTST_okay);
}

static void check_shared(struct fixture *f, uint64_t free_before)
{
    client_leave(f->machine, f->machine->client);
    assert(PINS(f, FRONT, GRANTED) == 0 && references(f, FRONT, GFN) == 2);
    check_reset(f, free_before);
}

/* ---- A vcpu_info is registered ----------------------------------------------------------------
 */

static int register_info(struct fixture *f)
{
    struct vcpu_register_vcpu_info info = {.mfn = CONTROL, .offset = 64};
    return pv_vcpu_op_register_vcpu_info(f->machine, FRONT, 0, 0, &info);
}

static void run_register(struct fixture *f)
{
    assert(register_info(f) == 0);
}

static void check_register(struct fixture *f, uint64_t free_before)
{
    evtchn_port_t ports[64];
    struct pv_event_view view;
    client_leave(f->machine, f->machine->client);
    int error = register_info(f);
    assert(error == 0 || error == -EINVAL); /* done already */
    assert(references(f, FRONT, CONTROL) == 2);
    assert(pv_machine_event_view(f->machine, FRONT, 0, NULL, &view) == 0);
    assert(view.vcpu_info == (uint8_t *)page_of(f, FRONT, CONTROL) + 64);
    assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == 1);
    check_destroys_front(f, free_before);
}

/* ---- Pages are taken out of use, and come back -------------------------------------------------
 */

#define FREE_FRAME 1000u /* in the middle of a large free block */

static uint32_t offline(struct fixture *f, uint64_t mfn, bool broken)
{
    uint32_t status;
    assert(pv_page_offline(f->machine, mfn, broken, &status) == 0);
    return status;
}

static uint32_t offline_status(struct fixture *f, uint64_t mfn)
{
    uint32_t status;
    assert(pv_page_query_offline(f->machine, mfn, &status) == 0);
    return status;
}

static void bring_back(struct fixture *f, uint64_t mfn)
{
    uint32_t status;
    assert(pv_page_online(f->machine, mfn, &status) == 0 && offline_status(f, mfn) == 0);
}

static uint64_t mfn_of(struct fixture *f, domid_t domid, uint64_t gfn)
{
    return (uint64_t)pv_domain_gfn_to_mfn(f->machine, domid, gfn);
}

static void run_offline_free(struct fixture *f)
{
    assert(offline(f, FREE_FRAME, true) == (PG_OFFLINE_OFFLINED | PG_OFFLINE_BROKEN));
}

/* It is out of use, or free as it was; broken only when it is out of use. */
static void check_offline_free(struct fixture *f, uint64_t free_before)
{
    uint64_t free = pv_machine_free_memory(f->machine);
    uint32_t status = offline_status(f, FREE_FRAME);
    assert(status == 0 || status & PG_OFFLINE_STATUS_OFFLINED);
    assert(free == free_before - (status ? 4096 : 0));
    if (!(status & PG_OFFLINE_STATUS_BROKEN))
        bring_back(f, FREE_FRAME);
}

static void prepare_online(struct fixture *f)
{
    assert(offline(f, FREE_FRAME, false) == PG_OFFLINE_OFFLINED);
}

static void run_online(struct fixture *f)
{
    bring_back(f, FREE_FRAME);
}

static void check_online(struct fixture *f, uint64_t free_before)
{
    bring_back(f, FREE_FRAME);
    assert(pv_machine_free_memory(f->machine) == free_before + 4096);
}

/* A page that waits for its owner to end. */
static uint64_t waiting;

static void prepare_offlined_with_owner(struct fixture *f)
{
    prepare_destroy(f);
    waiting = mfn_of(f, SMALL_WIDE, 1);
    assert(offline(f, waiting, false) & PG_OFFLINE_PENDING);
}

static void check_offlined_with_owner(struct fixture *f, uint64_t free_before)
{
    pv_domain_destroy(f->machine, SMALL);
    pv_domain_destroy(f->machine, SMALL_WIDE);
    assert(offline_status(f, waiting) == PG_OFFLINE_STATUS_OFFLINED);
    bring_back(f, waiting + 3); /* the whole page */
    assert(pv_machine_free_memory(f->machine) == free_before + SMALL_PAGES * (4096 + 16384));
}

static void prepare_offlined_with_user(struct fixture *f)
{
    prepare_last_unmap(f);
    waiting = mapped.dev_bus_addr >> FRAME_SHIFT;
    assert(offline(f, waiting, false) & PG_OFFLINE_PENDING);
}

static void check_offlined_with_user(struct fixture *f, uint64_t free_before)
{
    if (find_domain(f->machine, FRONT)) {
        unmap(f, BACK, &mapped, GNTMAP_host_map); /* done already, or not */
        pv_domain_destroy(f->machine, FRONT);
    }
    assert(offline_status(f, waiting) == PG_OFFLINE_STATUS_OFFLINED);
    bring_back(f, waiting);
    assert(pv_machine_free_memory(f->machine) == free_before + 4096);
}

/* ---- The killer ------------------------------------------------------------------------------ */

static const struct scenario scenarios[] = {
    {prepare_transfer, run_transfer, check_transfer},
    {prepare_creation, run_creation, check_creation},
    {prepare_destroy, run_destroy, check_destroy},
    {prepare_destroy, run_destroy_wide, check_destroy},
    {prepare_last_unmap, run_last_unmap, check_last_unmap},
    {grant_page, run_copy, check_copy},
    {prepare_control, run_control, check_set_up},
    {prepare_array, run_array, check_set_up},
    {prepare_reset, run_reset, check_reset},
    {prepare_shared, run_shared, check_shared},
    {prepare_control, run_register, check_register},
    {prepare_creation, run_offline_free, check_offline_free},
    {prepare_online, run_online, check_online},
    {prepare_offlined_with_owner, run_destroy_wide, check_offlined_with_owner},
    {prepare_offlined_with_user, run_last_unmap, check_offlined_with_user},
};

struct world {
    const struct scenario *scenario;
    struct fixture f;
};

static struct world make_world(const struct scenario *scenario)
{
    struct world world = {scenario, set_up_with(FRAMES << FRAME_SHIFT)};
    struct pv_machine *machine = world.f.machine;
    assert(m2p_share(machine, machine->shared->layout.m2p >> FRAME_SHIFT));
    scenario->prepare(&world.f);
    return world;
}

static int run(void *world)
{
    ((struct world *)world)->scenario->run(&((struct world *)world)->f);
    return 0;
}

static uint64_t state(void *world)
{
    return state_of(&((struct world *)world)->f);
}

static void kill_at(const struct scenario *scenario, const struct change *change)
{
    struct world world = make_world(scenario);
    struct fixture *f = &world.f;
    uint64_t free_before = pv_machine_free_memory(f->machine);
    pid_t process = start_stopped(run, &world);
    run_to_change(process, change);
    assert(state_of(f) == change->state);
    kill_stopped(process);
    rcu_forget_client(f->machine, f->machine->client); /* the first of what its end causes */
    scenario->check(f, free_before);
    check_frames(f);
    check_free(f);
    tear_down(f);
}

static void kill_at_each_change(const struct scenario *scenario)
{
    static struct changes changes;
    struct world world = make_world(scenario);
    find_changes(start_stopped(run, &world), state, &world, &changes);
    tear_down(&world.f);
    assert(changes.count >= 5);
    for (unsigned i = 0; i < changes.count; i++)
        kill_at(scenario, &changes.list[i]);
}

int main(void)
{
    for (size_t i = 0; STEPPING && i < sizeof scenarios / sizeof *scenarios; i++)
        kill_at_each_change(&scenarios[i]);
    return 0;
}
