/* A block frontend's guest, and a backend that does what a test tells it. */
#ifndef TESTS_FAKE_PEER_H
#define TESTS_FAKE_PEER_H

#include "frontends/c/fake_guest.h"
#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/ring/ring.h"

#define DISK_SECTORS 16384u

struct fake_peer {
    struct fake_guest guest; /* first: the hypervisor gets this address */
    struct pv_back_ring back;
    uint8_t disk[DISK_SECTORS * 512];
    uint8_t operations[1024]; /* as they came, INDIRECT as such */
    uint64_t sectors[1024];
    unsigned seen;
    /* When set, a notification serves the ring at once, with this status. */
    bool serves;
    int16_t serve_status;
};

static inline unsigned fake_serve(struct fake_peer *peer, int16_t status);

static void fake_notified(struct fake_guest *guest)
{
    struct fake_peer *peer = (struct fake_peer *)guest;
    do {
        if (peer->serves)
            fake_serve(peer, peer->serve_status);
    } while (peer->serves && pv_back_final_check(&peer->back));
}

static inline struct fake_peer *fake_peer_create(enum pv_abi abi)
{
    struct fake_peer *peer = calloc(1, sizeof(*peer));
    assert(peer);
    fake_guest_init(&peer->guest, abi);
    peer->guest.notified = fake_notified;
    return peer;
}

/* Everything the frontend took has been given back, but for `leaked` pages. */
static inline void fake_peer_destroy(struct fake_peer *peer, unsigned leaked)
{
    fake_guest_end(&peer->guest, leaked);
    free(peer);
}

static inline void fake_back_attach(struct fake_peer *peer, struct pv_blkfront_queue *queue)
{
    const grant_ref_t *refs;
    uint32_t count = pv_blkfront_ring_refs(queue, &refs);
    struct pv_sring *sring = (struct pv_sring *)(uintptr_t)peer->guest.grants[refs[0]].page;
    pv_back_ring_attach(&peer->back, sring, (size_t)count * peer->guest.hypervisor.page_size,
                        pv_blkif_slot_size(peer->guest.hypervisor.abi), 0);
}

static inline const struct pv_blkif_segment *
fake_segment(struct fake_peer *peer, const struct pv_blkif_request *request, unsigned i)
{
    if (request->operation != BLKIF_OP_INDIRECT)
        return &request->seg[i];
    unsigned per_page = peer->guest.hypervisor.page_size / 8;
    grant_ref_t ref = request->indirect_grefs[i / per_page];
    return (const struct pv_blkif_segment *)(peer->guest.grants[ref].page) + i % per_page;
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
        const struct fake_grant *grant = &peer->guest.grants[segment->gref];
        assert(grant->page && segment->first_sect <= segment->last_sect);
        assert(segment->last_sect < peer->guest.hypervisor.page_size / 512);
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
    pv_blkif_decode_request(peer->guest.hypervisor.abi, slot, request);
    peer->operations[peer->seen % 1024] = request->operation;
    peer->sectors[peer->seen++ % 1024] = request->sector_number;
}

static inline void fake_answer(struct fake_peer *peer, uint64_t id, uint8_t operation,
                               int16_t status)
{
    struct pv_blkif_response response = {id, operation, status};
    pv_blkif_encode_response(peer->guest.hypervisor.abi, &response,
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
