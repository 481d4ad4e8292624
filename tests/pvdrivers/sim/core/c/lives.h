/* Guests that make any hypercall at any time, and a toolstack that ends their domains' lives. */
#ifndef TESTS_LIVES_H
#define TESTS_LIVES_H

#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/grants/internal.h"
#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/machine_grants.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOOLSTACK, FIRST, SECOND, LIVES_DOMAINS };
#define LIFE_PAGES 64u

/* Pages of a guest by use, so that no two threads write to one page's bytes. The allocator's are
 * those from GUEST_RESERVED_PAGES on, the test's own those before. */
enum {
    GFN_READ = 1, /* granted readonly */
    GFN_WRITTEN,  /* granted; the peer copies to it */
    GFN_MAPPED,   /* granted; the peer maps it, and has its byte cleared */
    GFN_SOURCE,   /* its own end of copies */
    GFN_DEST,
    GFN_CONTROL, /* FIFO event channels */
    GFN_ARRAY,
    GFN_GIVEN /* transferred */
};

/* The refs these are granted by. */
enum { REF_READ = 8, REF_WRITTEN, REF_MAPPED, REF_TRANSITIVE, REF_TRANSFER, REF_END };

/* A guest: its hypercalls, in an order that `seed` decides, and what it remembers of them. */
#define REMEMBERED 8
struct guest {
    struct pv_machine *machine;
    domid_t domid, peer;
    uint64_t seed;
    struct pv_hypervisor *hv; /* of whatever life it was opened in */
    struct pv_evtchn *handle;
    struct pv_upcall *upcall;
    evtchn_port_t ports[REMEMBERED];
    struct gnttab_map_grant_ref maps[REMEMBERED]; /* handle 0 too: others' are fair game */
    struct pv_grant_map seam_maps[REMEMBERED];
    grant_ref_t refs[REMEMBERED];
    void *pages[REMEMBERED];
    void *contiguous, *foreign;
};

static inline uint32_t pick(struct guest *guest, uint32_t count)
{
    guest->seed ^= guest->seed << 13; /* xorshift */
    guest->seed ^= guest->seed >> 7;
    guest->seed ^= guest->seed << 17;
    return (uint32_t)(guest->seed >> 16) % count;
}

/* ---- Grants, by hypercall -------------------------------------------------------------------- */

static inline void do_publish(struct guest *g)
{
    struct pv_grant_entries table;
    if (pv_gnttab_entries(g->machine, g->domid, &table))
        return;
    if (table.count < REF_END)
        return;
    pv_grant_publish(&table, REF_READ, g->peer, GFN_READ, true);
    pv_grant_publish(&table, REF_WRITTEN, g->peer, GFN_WRITTEN, false);
    pv_grant_publish(&table, REF_MAPPED, g->peer, GFN_MAPPED, false);
    if (table.version == 2)
        pv_grant_publish_transitive(&table, REF_TRANSITIVE, g->peer, g->peer, REF_READ, true);
}

static inline void do_accept_transfer(struct guest *g)
{
    struct pv_grant_entries table;
    if (pv_gnttab_entries(g->machine, g->domid, &table) || table.version != 1)
        return;
    __atomic_store_n(&pv_grant_entry_v1(&table, REF_TRANSFER)->frame, GFN_GIVEN, __ATOMIC_RELAXED);
    union {
        struct grant_entry_header header;
        uint32_t word;
    } entry = {.header = {GTF_accept_transfer, g->peer}};
    __atomic_store_n((uint32_t *)pv_grant_entry_header(&table, REF_TRANSFER), entry.word,
                     __ATOMIC_RELEASE);
}

static inline void do_map(struct guest *g)
{
    struct gnttab_map_grant_ref *op = &g->maps[pick(g, REMEMBERED)];
    *op = (struct gnttab_map_grant_ref){.flags = 1 + pick(g, 7),
                                        .ref = REF_READ + pick(g, REF_END - REF_READ),
                                        .dom = pick(g, 4) ? g->peer : DOMID_SELF,
                                        .status = 1};
    pv_gnttab_op_map(g->machine, g->domid, op, 1);
    assert(op->status <= 0);
}

static inline void do_unmap(struct guest *g)
{
    struct gnttab_unmap_grant_ref ops[REMEMBERED];
    for (unsigned i = 0; i < REMEMBERED; i++)
        ops[i] = (struct gnttab_unmap_grant_ref){.handle = g->maps[i].handle,
                                                 .host_addr = g->maps[i].host_addr,
                                                 .dev_bus_addr = g->maps[i].dev_bus_addr,
                                                 .status = 1};
    pv_gnttab_op_unmap(g->machine, g->domid, ops, 1 + pick(g, REMEMBERED));
    assert(ops[0].status <= 0);
}

static inline void do_copy(struct guest *g)
{
    struct gnttab_copy_x86_64 ops[2] = {{.len = 64, .flags = GNTCOPY_source_gref, .status = 1},
                                        {.len = 64, .flags = GNTCOPY_dest_gref, .status = 1}};
    ops[0].source.u.ref = pick(g, 2) ? REF_READ : REF_TRANSITIVE;
    ops[0].source.domid = g->peer;
    ops[0].dest.u.gmfn = GFN_DEST;
    ops[0].dest.domid = DOMID_SELF;
    ops[1].source.u.gmfn = GFN_SOURCE;
    ops[1].source.domid = DOMID_SELF;
    ops[1].dest.u.ref = REF_WRITTEN;
    ops[1].dest.domid = g->peer;
    pv_gnttab_op_copy(g->machine, g->domid, ops, 2);
    assert(ops[0].status <= 0 && ops[1].status <= 0);
}

static inline void do_transfer(struct guest *g)
{
    struct gnttab_transfer_x86_64 op = {
        .mfn = GFN_GIVEN, .domid = g->peer, .ref = REF_TRANSFER, .status = 1};
    pv_gnttab_op_transfer(g->machine, g->domid, &op, 1);
    assert(op.status <= 0);
}

static inline domid_t anybody(struct guest *g)
{
    return pick(g, 2) ? DOMID_SELF : g->peer;
}

static inline void do_size_and_frames(struct guest *g)
{
    uint64_t frames[4];
    struct gnttab_setup_table_x86_64 setup = {
        .dom = anybody(g), .nr_frames = 1 + pick(g, 4), .frame_list = (uintptr_t)frames};
    pv_gnttab_op_setup_table(g->machine, g->domid, &setup);
    struct gnttab_query_size size = {.dom = anybody(g)};
    pv_gnttab_op_query_size(g->machine, g->domid, &size);
    struct gnttab_get_status_frames_x86_64 status = {
        .dom = anybody(g), .nr_frames = 1, .frame_list = (uintptr_t)frames};
    pv_gnttab_op_get_status_frames(g->machine, g->domid, &status);
}

static inline void do_version(struct guest *g)
{
    struct gnttab_get_version get = {.dom = anybody(g)};
    pv_gnttab_op_get_version(g->machine, g->domid, &get);
    struct gnttab_set_version set = {1 + pick(g, 2)};
    pv_gnttab_op_set_version(g->machine, g->domid, &set);
    do_publish(g);
}

static inline void do_swap(struct guest *g)
{
    struct gnttab_swap_grant_ref op = {.ref_a = REF_READ, .ref_b = REF_TRANSITIVE, .status = 1};
    pv_gnttab_op_swap_grant_ref(g->machine, g->domid, &op, 1);
    assert(op.status <= 0);
}

static inline void do_refused_ops(struct guest *g)
{
    struct gnttab_unmap_and_replace replace = {0};
    struct gnttab_cache_flush flush = {0};
    assert(pv_gnttab_op_unmap_and_replace(g->machine, g->domid, &replace, 1) < 0);
    assert(pv_gnttab_op_cache_flush(g->machine, g->domid, &flush, 1) < 0);
}

static inline void do_look(struct guest *g)
{
    struct pv_domain_info info;
    uint64_t accounts[PV_ACCOUNT_COUNT];
    domid_t domid = pick(g, 2) ? g->domid : g->peer;
    pv_gnttab_pins(g->machine, domid, REF_MAPPED);
    pv_gnttab_handles(g->machine, domid);
    pv_domain_info(g->machine, domid, &info);
    pv_domain_accounts(g->machine, domid, accounts);
    pv_domain_gfn_to_mfn(g->machine, domid, pick(g, LIFE_PAGES + 1));
}

static inline void do_unmap_notify(struct guest *g)
{
    pv_gnttab_set_unmap_notify(g->machine, g->domid, g->maps[pick(g, REMEMBERED)].handle,
                               pick(g, 2), 2048, pick(g, 5));
}

/* ---- Event channels, by hypercall ------------------------------------------------------------ */

static inline evtchn_port_t some_port(struct guest *g)
{
    return pick(g, 8) ? g->ports[pick(g, REMEMBERED)] : pick(g, 20);
}

static inline void do_bind(struct guest *g)
{
    evtchn_port_t *port = &g->ports[pick(g, REMEMBERED)];
    switch (pick(g, 4)) {
    case 0:
        pv_evtchn_op_alloc_unbound(g->machine, g->domid, anybody(g), g->peer, port);
        break;
    case 1:
        pv_evtchn_op_bind_interdomain(g->machine, g->domid, g->peer, 1 + pick(g, 12), port);
        break;
    case 2:
        pv_evtchn_op_bind_virq(g->machine, g->domid, pick(g, NR_VIRQS), 0, port);
        break;
    default:
        pv_evtchn_op_bind_ipi(g->machine, g->domid, pick(g, 2), port);
    }
}

static inline void do_send(struct guest *g)
{
    for (int i = 0; i < 4; i++)
        pv_evtchn_op_send(g->machine, g->domid, some_port(g));
    pv_machine_send_virq(g->machine, g->peer, pick(g, NR_VIRQS), 0);
    pv_machine_set_virq_handler(g->machine, g->domid, VIRQ_CON_RING);
}

static inline void do_port(struct guest *g)
{
    struct evtchn_status status = {.dom = anybody(g), .port = some_port(g)};
    pv_evtchn_op_status(g->machine, g->domid, &status);
    pv_evtchn_op_bind_vcpu(g->machine, g->domid, some_port(g), pick(g, 2));
    pv_evtchn_op_set_priority(g->machine, g->domid, some_port(g), pick(g, 16));
    pv_evtchn_op_unmask(g->machine, g->domid, some_port(g));
}

static inline void do_close(struct guest *g)
{
    pv_evtchn_op_close(g->machine, g->domid, some_port(g));
    if (pick(g, 20) == 0)
        pv_evtchn_op_reset(g->machine, g->domid, anybody(g));
}

static inline void do_fifo(struct guest *g)
{
    uint8_t link_bits;
    uint32_t heads[EVTCHN_FIFO_MAX_QUEUES] = {0};
    struct pv_event_view view;
    pv_evtchn_op_init_control(g->machine, g->domid, GFN_CONTROL, 0, pick(g, 2), &link_bits);
    pv_evtchn_op_expand_array(g->machine, g->domid, GFN_ARRAY);
    pv_machine_event_view(g->machine, g->domid, 0, heads, &view);
}

/* ---- What a process does through the seam ---------------------------------------------------- */

static inline void close_view(struct guest *g)
{
    if (g->handle)
        sim_evtchn_close(g->handle);
    if (g->upcall)
        pv_upcall_close(g->upcall);
    if (g->hv)
        g->hv->ops->close(g->hv);
    g->handle = NULL;
    g->upcall = NULL;
    g->hv = NULL;
    g->contiguous = g->foreign = NULL;
    memset(g->pages, 0, sizeof g->pages);
}

static inline void do_open(struct guest *g)
{
    if (g->hv && pick(g, 4))
        return;
    close_view(g);
    if (pv_machine_open_hypervisor(g->machine, g->domid, &g->hv))
        return;
    g->handle = sim_evtchn_open(g->hv);
    pv_upcall_open(g->machine, g->domid, pick(g, 2), &g->upcall);
}

static inline void do_handle(struct guest *g)
{
    if (!g->handle)
        return;
    int port;
    switch (pick(g, 5)) {
    case 0:
        port = sim_evtchn_bind_unbound_port(g->handle, g->peer);
        break;
    case 1:
        port = sim_evtchn_bind_interdomain(g->handle, g->peer, 1 + pick(g, 12));
        break;
    case 2:
        port = sim_evtchn_bind_virq(g->handle, pick(g, NR_VIRQS));
        break;
    case 3:
        port = sim_evtchn_unbind(g->handle, some_port(g));
        break;
    default:
        port = pv_evtchn_bind_static(g->handle, some_port(g));
    }
    if (port > 0)
        g->ports[pick(g, REMEMBERED)] = (evtchn_port_t)port;
}

static inline void do_events(struct guest *g)
{
    if (!g->handle)
        return;
    for (int i = 0; i < 4; i++) {
        sim_evtchn_notify(g->handle, some_port(g));
        int port = sim_evtchn_pending(g->handle);
        if (port > 0)
            sim_evtchn_unmask(g->handle, (evtchn_port_t)port);
    }
    if (g->upcall)
        pv_upcall_take(g->upcall);
}

static inline void do_seam_map(struct guest *g)
{
    if (!g->hv)
        return;
    const grant_ref_t refs[2] = {REF_READ, REF_READ};
    switch (pick(g, 5)) {
    case 0:
        for (unsigned i = 0; i < REMEMBERED; i++)
            g->seam_maps[i] = (struct pv_grant_map){
                .ref = REF_READ + i % 3, .domid = g->peer, .flags = GNTMAP_host_map};
        sim_gnttab_map(g->hv, g->seam_maps, REMEMBERED);
        break;
    case 1:
        sim_gnttab_unmap(g->hv, g->seam_maps, REMEMBERED);
        break;
    case 2:
        if (!g->contiguous)
            g->contiguous = sim_gnttab_map_contiguous(g->hv, g->peer, refs, 2, true);
        break;
    case 3:
        if (g->contiguous)
            sim_gnttab_unmap_contiguous(g->hv, g->contiguous, 2);
        g->contiguous = NULL;
        break;
    default:
        sim_gnttab_page_size(g->hv, g->peer);
    }
}

static inline void do_seam_copy(struct guest *g)
{
    if (!g->hv)
        return;
    uint8_t bytes[64];
    struct pv_grant_copy copies[REMEMBERED];
    for (unsigned i = 0; i < REMEMBERED; i++)
        copies[i] = (struct pv_grant_copy){.source = {.domid = g->peer, .ref = REF_READ},
                                           .dest = {.address = bytes},
                                           .len = sizeof bytes,
                                           .flags = GNTCOPY_source_gref,
                                           .status = 1};
    sim_gnttab_copy(g->hv, copies, REMEMBERED);
    assert(copies[REMEMBERED - 1].status <= 0);
}

static inline void do_pages(struct guest *g)
{
    if (!g->hv)
        return;
    unsigned i = pick(g, REMEMBERED);
    if (!g->pages[i]) {
        g->pages[i] = g->hv->ops->pages_alloc(g->hv, 2);
        if (g->pages[i] && sim_grant_access(g->hv, g->peer, g->pages[i], false, &g->refs[i]))
            g->refs[i] = 0;
        return;
    }
    if (g->refs[i])
        sim_grant_end(g->hv, g->refs[i]);
    g->hv->ops->pages_free(g->hv, g->pages[i], 2);
    g->pages[i] = NULL;
}

static inline void do_foreign(struct guest *g)
{
    if (!g->hv)
        return;
    const uint64_t gfns[2] = {GFN_READ, GFN_WRITTEN};
    if (g->foreign)
        g->hv->ops->foreign_unmap(g->hv, g->peer, g->foreign, 2);
    g->foreign = g->hv->ops->foreign_map(g->hv, pick(g, 2) ? g->peer : g->domid, gfns, 2, true);
}

/* ---- The toolstack's calls that a guest's end may meet --------------------------------------- */

static inline void do_domctl(struct guest *g)
{
    pv_domain_pause(g->machine, g->peer);
    pv_domain_unpause(g->machine, g->peer);
    if (pick(g, 8) == 0)
        pv_domain_shutdown(g->machine, g->peer, pick(g, 4));
}

static inline void random_hypercall(struct guest *g)
{
    static void (*const hypercalls[])(struct guest *) = {do_publish,  do_accept_transfer,
                                                         do_map,      do_unmap,
                                                         do_copy,     do_map,
                                                         do_transfer, do_version,
                                                         do_swap,     do_size_and_frames,
                                                         do_unmap,    do_refused_ops,
                                                         do_look,     do_unmap_notify,
                                                         do_bind,     do_bind,
                                                         do_send,     do_port,
                                                         do_close,    do_fifo,
                                                         do_open,     do_handle,
                                                         do_events,   do_seam_map,
                                                         do_seam_map, do_pages,
                                                         do_foreign,  do_seam_copy,
                                                         do_handle,   do_domctl};
    hypercalls[pick(g, sizeof hypercalls / sizeof hypercalls[0])](g);
}

static inline void forget_everything(struct guest *g)
{
    close_view(g);
}

/* ---- Lives ----------------------------------------------------------------------------------- */

static inline struct pv_machine *machine_of_lives(void)
{
    struct pv_memory_extent extent = {.size = 16u << 20};
    struct pv_machine_config config = {.extents = &extent,
                                       .extent_count = 1,
                                       .max_domains = LIVES_DOMAINS,
                                       .max_domain_memory = 1u << 20};
    struct pv_machine *made;
    assert(pv_machine_create(&config, &made) == 0);
    struct pv_domain_config toolstack = {.memory = 1u << 16, .vcpus = 1, .privileged = true};
    assert(pv_domain_create(made, TOOLSTACK, &toolstack) == TOOLSTACK);
    return made;
}

/* Both are driver domains: they may map each other's pages and reset each other's ports. */
static inline int begin_life(struct pv_machine *machine, domid_t domid, uint64_t life)
{
    struct pv_domain_config config = {.abi = life % 2 ? PV_ABI_X86_64 : PV_ABI_X86_32,
                                      .memory = LIFE_PAGES * 4096,
                                      .vcpus = 2,
                                      .max_maptrack_frames = 1,
                                      .privileged = true};
    int result = pv_domain_create(machine, domid, &config);
    if (result >= 0)
        pv_domain_unpause(machine, domid);
    return result;
}

/* A domain stays while its peer maps its pages: then the peer's life ends too, and with that
 * nothing holds either, but calls under way. */
static inline void begin_another_life(struct pv_machine *machine, domid_t domid, uint64_t life)
{
    domid_t peer = domid == FIRST ? SECOND : FIRST;
    pv_domain_destroy(machine, domid);
    if (begin_life(machine, domid, life) >= 0)
        return;
    pv_domain_destroy(machine, peer);
    while (begin_life(machine, domid, life) < 0) /* forever, if something leaked */
        ;
    while (begin_life(machine, peer, life) < 0)
        ;
}

static inline void nothing_is_left(struct pv_machine *machine, uint64_t free_before)
{
    pv_domain_destroy(machine, FIRST);
    pv_domain_destroy(machine, SECOND);
    assert(!find_domain(machine, FIRST) && !find_domain(machine, SECOND));
    assert(pv_machine_free_memory(machine) == free_before);
}

static inline uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 10) : otherwise;
}

#endif
