/* A hypervisor of one process without a machine, and a backend that does what a test tells it. */
#ifndef TESTS_FAKE_PEER_H
#define TESTS_FAKE_PEER_H

#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAKE_GRANTS 4096u
#define DISK_SECTORS 16384u

struct fake_grant {
    const uint8_t *page; /* NULL: not granted */
    bool readonly, busy; /* busy: the peer holds it, ending fails */
};

struct fake_peer {
    struct pv_hypervisor hypervisor; /* first: the ops get this address */
    struct fake_grant grants[FAKE_GRANTS];
    unsigned pages, granted, notifications, ports;
    unsigned most_grants; /* at a time */
    struct pv_back_ring back;
    uint8_t disk[DISK_SECTORS * 512];
    uint8_t operations[1024]; /* as they came, INDIRECT as such */
    uint64_t sectors[1024];
    unsigned seen;
    /* When set, a notification serves the ring at once, with this status. */
    bool serves;
    int16_t serve_status;
    int fd; /* always readable */
};

static inline unsigned fake_serve(struct fake_peer *peer, int16_t status);

static void *fake_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    struct fake_peer *peer = (struct fake_peer *)hypervisor;
    void *area = mmap(NULL, (size_t)count * hypervisor->page_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(area != MAP_FAILED);
    peer->pages += count;
    return area;
}

static int fake_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct fake_peer *peer = (struct fake_peer *)hypervisor;
    assert(peer->pages >= count);
    peer->pages -= count;
    assert(munmap(address, (size_t)count * hypervisor->page_size) == 0);
    return 0;
}

static int fake_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                             bool readonly, grant_ref_t *ref)
{
    struct fake_peer *peer = (struct fake_peer *)hypervisor;
    (void)domid;
    if (peer->granted >= peer->most_grants)
        return -ENOSPC;
    for (grant_ref_t i = 8; i < FAKE_GRANTS; i++) {
        if (peer->grants[i].page)
            continue;
        peer->grants[i] = (struct fake_grant){page, readonly, false};
        peer->granted++;
        *ref = i;
        return 0;
    }
    return -ENOSPC;
}

static int fake_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    struct fake_peer *peer = (struct fake_peer *)hypervisor;
    assert(ref < FAKE_GRANTS && peer->grants[ref].page);
    if (peer->grants[ref].busy)
        return -EBUSY;
    peer->grants[ref].page = NULL;
    peer->granted--;
    return 0;
}

static int fake_bind_unbound_port(struct pv_evtchn *handle, domid_t remote)
{
    assert(remote == 0);
    ((struct fake_peer *)handle)->ports++;
    return 7;
}

static int fake_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert(port == 7);
    ((struct fake_peer *)handle)->ports--;
    return 0;
}

static int fake_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert(port == 7);
    struct fake_peer *peer = (struct fake_peer *)handle;
    peer->notifications++;
    do {
        if (peer->serves)
            fake_serve(peer, peer->serve_status);
    } while (peer->serves && pv_back_final_check(&peer->back));
    return 0;
}

static int fake_fd(struct pv_evtchn *handle)
{
    return ((struct fake_peer *)handle)->fd;
}

static int fake_pending(struct pv_evtchn *handle)
{
    (void)handle;
    return -EAGAIN;
}

static const struct pv_hypervisor_ops fake_ops = {
    .name = "fake",
    .evtchn_bind_unbound_port = fake_bind_unbound_port,
    .evtchn_unbind = fake_unbind,
    .evtchn_notify = fake_notify,
    .evtchn_fd = fake_fd,
    .evtchn_pending = fake_pending,
    .pages_alloc = fake_pages_alloc,
    .pages_free = fake_pages_free,
    .grant_access = fake_grant_access,
    .grant_end = fake_grant_end,
};

static inline struct fake_peer *fake_peer_create(enum pv_abi abi)
{
    struct fake_peer *peer = calloc(1, sizeof(*peer));
    assert(peer);
    peer->hypervisor = (struct pv_hypervisor){&fake_ops, .domid = 1, .abi = abi,
                                              .page_size = abi == PV_ABI_IA64 ? 16384 : 4096};
    peer->most_grants = UINT32_MAX;
    peer->fd = open("/dev/zero", O_RDONLY);
    assert(peer->fd >= 0);
    return peer;
}

/* Everything the frontend took has been given back, but for `leaked` pages. */
static inline void fake_peer_destroy(struct fake_peer *peer, unsigned leaked)
{
    assert(peer->pages == leaked && peer->granted == leaked && peer->ports == 0);
    close(peer->fd);
    free(peer);
}

static inline void fake_back_attach(struct fake_peer *peer, struct pv_blkfront_queue *queue)
{
    const grant_ref_t *refs;
    uint32_t count = pv_blkfront_ring_refs(queue, &refs);
    struct pv_sring *sring = (struct pv_sring *)(uintptr_t)peer->grants[refs[0]].page;
    pv_back_ring_attach(&peer->back, sring, (size_t)count * peer->hypervisor.page_size,
                        pv_blkif_slot_size(peer->hypervisor.abi), 0);
}

static inline const struct pv_blkif_segment *
fake_segment(struct fake_peer *peer, const struct pv_blkif_request *request, unsigned i)
{
    if (request->operation != BLKIF_OP_INDIRECT)
        return &request->seg[i];
    unsigned per_page = peer->hypervisor.page_size / 8;
    grant_ref_t ref = request->indirect_grefs[i / per_page];
    return (const struct pv_blkif_segment *)(peer->grants[ref].page) + i % per_page;
}

/* Moves the data of a request between the disk and the granted pages, checking each segment. */
static inline void fake_transfer(struct fake_peer *peer, const struct pv_blkif_request *request)
{
    bool indirect = request->operation == BLKIF_OP_INDIRECT;
    bool read = (indirect ? request->indirect_op : request->operation) == BLKIF_OP_READ;
    uint64_t sector = request->sector_number;
    assert(indirect || request->nr_segments <= BLKIF_MAX_SEGMENTS_PER_REQUEST);
    for (unsigned i = 0; i < request->nr_segments; i++) {
        const struct pv_blkif_segment *segment = fake_segment(peer, request, i);
        const struct fake_grant *grant = &peer->grants[segment->gref];
        assert(grant->page && segment->first_sect <= segment->last_sect);
        assert(segment->last_sect < peer->hypervisor.page_size / 512);
        assert(!(read && grant->readonly));
        uint8_t *page = (uint8_t *)(uintptr_t)grant->page + segment->first_sect * 512;
        size_t sectors = segment->last_sect - segment->first_sect + 1u;
        assert(sector + sectors <= DISK_SECTORS);
        uint8_t *disk = peer->disk + sector * 512;
        memcpy(read ? page : disk, read ? disk : page, sectors * 512);
        sector += sectors;
    }
}

static inline void fake_take(struct fake_peer *peer, struct pv_blkif_request *request)
{
    uint8_t slot[BLKIF_MAX_SLOT_SIZE];
    pv_back_copy_request(&peer->back, peer->back.req_cons++, slot, peer->back.slot_size);
    pv_blkif_decode_request(peer->hypervisor.abi, slot, request);
    peer->operations[peer->seen % 1024] = request->operation;
    peer->sectors[peer->seen++ % 1024] = request->sector_number;
}

static inline void fake_answer(struct fake_peer *peer, uint64_t id, uint8_t operation,
                               int16_t status)
{
    struct pv_blkif_response response = {id, operation, status};
    pv_blkif_encode_response(peer->hypervisor.abi, &response,
                             pv_back_response_slot(&peer->back, peer->back.rsp_prod_pvt++));
    pv_back_push_responses(&peer->back);
}

/* Serves everything on the ring with one status; returns how many requests there were. */
static inline unsigned fake_serve(struct fake_peer *peer, int16_t status)
{
    unsigned count = 0;
    for (; pv_back_unconsumed_requests(&peer->back) > 0; count++) {
        struct pv_blkif_request request;
        fake_take(peer, &request);
        bool indirect = request.operation == BLKIF_OP_INDIRECT;
        if (status == BLKIF_RSP_OKAY && request.operation != BLKIF_OP_DISCARD)
            fake_transfer(peer, &request);
        fake_answer(peer, request.id, indirect ? request.indirect_op : request.operation, status);
    }
    return count;
}

#endif
