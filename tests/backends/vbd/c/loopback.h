/*
 * A guest reduced to what a backend sees of it: an array of granted pages, of which the first are
 * the ring, and an event channel that only counts. Reference N grants page N.
 */
#ifndef TESTS_BACKENDS_VBD_C_LOOPBACK_H
#define TESTS_BACKENDS_VBD_C_LOOPBACK_H

#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GUEST 7
#ifndef GUEST_PAGES
#define GUEST_PAGES 1024
#endif

struct loopback {
    struct pv_hypervisor hypervisor; /* first: the backend's view */
    struct pv_front_ring front;
    struct pv_blkback_queue *back;
    struct pv_blk_store *store;
    enum pv_abi abi;
    uint32_t page_size;
    uint8_t *memory; /* GUEST_PAGES pages */
    grant_ref_t bad_ref;
    int notified, mapped, copy_calls;
    bool bound;
    uint64_t now;
};

static inline uint8_t *loopback_page(struct loopback *loop, grant_ref_t ref)
{
    return ref < GUEST_PAGES && ref != loop->bad_ref ? loop->memory + (size_t)ref * loop->page_size
                                                     : NULL;
}

static inline int fake_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                           unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    for (unsigned i = 0; i < count; i++) {
        assert(maps[i].domid == GUEST && maps[i].flags == GNTMAP_host_map);
        maps[i].address = loopback_page(loop, maps[i].ref);
        maps[i].handle = maps[i].ref + 1000;
        maps[i].status = maps[i].address ? GNTST_okay : GNTST_bad_gntref;
        loop->mapped += maps[i].address != NULL;
    }
    return 0;
}

static inline int fake_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                             unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    for (unsigned i = 0; i < count; i++) {
        assert(maps[i].address && maps[i].handle == maps[i].ref + 1000);
        maps[i].status = GNTST_okay;
        loop->mapped--;
    }
    return 0;
}

static inline void *fake_end(struct loopback *loop, const struct pv_grant_copy_end *end, bool gref,
                             unsigned len)
{
    if (!gref)
        return end->address;
    assert(end->domid == GUEST);
    uint8_t *page = loopback_page(loop, end->ref);
    return page && end->offset + len <= loop->page_size ? page + end->offset : NULL;
}

static inline int fake_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                            unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    loop->copy_calls++;
    for (unsigned i = 0; i < count; i++) {
        struct pv_grant_copy *copy = &copies[i];
        void *from = fake_end(loop, &copy->source, copy->flags & GNTCOPY_source_gref, copy->len);
        void *to = fake_end(loop, &copy->dest, copy->flags & GNTCOPY_dest_gref, copy->len);
        copy->status = from && to ? GNTST_okay : GNTST_bad_gntref;
        if (copy->status == GNTST_okay)
            memcpy(to, from, copy->len);
    }
    return 0;
}

static inline void *fake_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                        const grant_ref_t *refs, unsigned count, bool readonly)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    assert(domid == GUEST && !readonly);
    loop->mapped += (int)count;
    return loopback_page(loop, refs[0]);
}

static inline int fake_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address,
                                        unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    assert(address == loop->memory);
    loop->mapped -= (int)count;
    return 0;
}

static inline uint32_t fake_page_size(struct pv_hypervisor *hypervisor, domid_t domid)
{
    return domid == GUEST ? ((struct loopback *)hypervisor)->page_size : 0;
}

static inline int fake_bind(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    struct loopback *loop = (struct loopback *)handle;
    assert(remote == GUEST && port == 3 && !loop->bound);
    loop->bound = true;
    return 5;
}

static inline int fake_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct loopback *loop = (struct loopback *)handle;
    assert(port == 5 && loop->bound);
    loop->bound = false;
    return 0;
}

static inline int fake_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert(port == 5);
    ((struct loopback *)handle)->notified++;
    return 0;
}

static const struct pv_hypervisor_ops fake_ops = {.name = "fake",
                                                  .evtchn_bind_interdomain = fake_bind,
                                                  .evtchn_unbind = fake_unbind,
                                                  .evtchn_notify = fake_notify,
                                                  .gnttab_map = fake_map,
                                                  .gnttab_unmap = fake_unmap,
                                                  .gnttab_copy = fake_copy,
                                                  .gnttab_map_contiguous = fake_map_contiguous,
                                                  .gnttab_unmap_contiguous = fake_unmap_contiguous,
                                                  .gnttab_page_size = fake_page_size};

/* Everything offered; tests change what they are about. */
static inline struct pv_blkback_config loopback_config(struct loopback *loop, enum pv_abi abi,
                                                       struct pv_blk_store *store)
{
    static const grant_ref_t refs[] = {0, 1, 2, 3};
    memset(loop, 0, sizeof *loop);
    loop->hypervisor = (struct pv_hypervisor){
        .ops = &fake_ops, .abi = PV_ABI_X86_64, .page_size = 4096, .maps_outlive_process = true};
    loop->abi = abi;
    loop->page_size = abi == PV_ABI_IA64 ? 16384 : 4096;
    loop->memory = calloc(GUEST_PAGES, loop->page_size);
    loop->store = store;
    loop->bad_ref = UINT32_MAX;
    loop->now = 1;
    pv_sring_init((struct pv_sring *)loop->memory);
    return (struct pv_blkback_config){.hypervisor = &loop->hypervisor,
                                      .evtchn = (struct pv_evtchn *)loop,
                                      .frontend = GUEST,
                                      .abi = abi,
                                      .ring_refs = refs,
                                      .ring_pages = 1,
                                      .remote_port = 3,
                                      .store = store,
                                      .flush = true,
                                      .barrier = true,
                                      .discard = true,
                                      .secure_discard = true,
                                      .max_indirect_segments = 256};
}

static inline void loopback_connect(struct loopback *loop, const struct pv_blkback_config *config)
{
    struct pv_sring *sring = (struct pv_sring *)loop->memory;
    pv_front_ring_attach(&loop->front, sring, config->ring_pages * (size_t)loop->page_size,
                         pv_blkif_slot_size(loop->abi), pv_read_once(&sring->rsp_prod));
    loop->back = pv_blkback_create(config);
    assert(loop->back && pv_blkback_port(loop->back) == 5);
}

static inline bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

/* With event channels of the test's own: `ops` outlives it. */
static inline void loopback_connect_with(struct loopback *loop, struct pv_blk_store *store,
                                         const struct pv_hypervisor_ops *ops)
{
    struct pv_blkback_config config = loopback_config(loop, PV_ABI_X86_64, store);
    loop->hypervisor.ops = ops;
    loopback_connect(loop, &config);
}

static inline void loopback_close(struct loopback *loop)
{
    assert(pv_blkback_quiesce(loop->back, loop->now));
    assert(pv_blkback_disconnect(loop->back) == 0 && pv_blkback_disconnect(loop->back) == 0);
    assert(loop->mapped == 0 && !loop->bound);
    assert(pv_blkback_destroy(loop->back) == 0);
    pv_blk_store_close(loop->store);
    free(loop->memory);
}

static inline void loopback_put(struct loopback *loop, const struct pv_blkif_request *request)
{
    pv_blkif_encode_request(loop->abi, request,
                            pv_front_request_slot(&loop->front, loop->front.req_prod_pvt++));
}

static inline int loopback_pump(struct loopback *loop)
{
    pv_front_push_requests(&loop->front);
    return pv_blkback_pump(loop->back, 1024, loop->now);
}

/* The next response; false when there is none. Padding must be zero (XSA-216). */
static inline bool loopback_take(struct loopback *loop, struct pv_blkif_response *response)
{
    uint8_t slot[BLKIF_MAX_SLOT_SIZE];
    int ready = pv_front_unconsumed_responses(&loop->front);
    assert(ready >= 0);
    if (ready == 0)
        return false;
    pv_front_copy_response(&loop->front, loop->front.rsp_cons++, slot, loop->front.slot_size);
    pv_blkif_decode_response(loop->abi, slot, response);
    assert(slot[9] == 0);
    for (uint32_t i = 12; i < (loop->abi == PV_ABI_X86_32 ? 12 : 16); i++)
        assert(slot[i] == 0);
    return true;
}

/* Puts one request through and returns its status. */
static inline int loopback_one(struct loopback *loop, struct pv_blkif_request request)
{
    static uint64_t id = 0xfeedface00000000u;
    struct pv_blkif_response response;
    request.id = ++id;
    loopback_put(loop, &request);
    loopback_pump(loop);
    assert(loopback_take(loop, &response) && response.id == id);
    uint8_t echo = request.operation == BLKIF_OP_INDIRECT ? request.indirect_op : request.operation;
    assert(response.operation == echo);
    assert(!loopback_take(loop, &response));
    return response.status;
}

static inline uint64_t loopback_errors(struct loopback *loop, enum pv_blkback_error error)
{
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop->back, &stats);
    return stats.errors[error];
}

#endif
