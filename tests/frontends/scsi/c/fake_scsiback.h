/* A SCSI frontend's guest, and a backend that does what a test tells it. A CDB names, in its bytes
 * 2 to 5, where in the medium its data begin. */
#ifndef TESTS_FRONTENDS_SCSI_C_FAKE_SCSIBACK_H
#define TESTS_FRONTENDS_SCSI_C_FAKE_SCSIBACK_H

#include "frontends/c/fake_guest.h"
#include "pvdrivers/frontends/scsi/scsifront.h"
#include "pvdrivers/ring/ring.h"

#define MEDIUM (4u << 20)

struct fake_scsiback {
    struct fake_guest guest; /* first: the hypervisor gets this address */
    struct pv_back_ring back;
    uint8_t medium[MEDIUM];
    unsigned lists; /* requests with a list of segments */
};

static inline struct fake_scsiback *fake_scsiback_create(enum pv_abi abi)
{
    struct fake_scsiback *peer = calloc(1, sizeof(*peer));
    assert(peer);
    fake_guest_init(&peer->guest, abi);
    return peer;
}

/* Everything the frontend took has been given back, but for `leaked` pages. */
static inline void fake_scsiback_destroy(struct fake_scsiback *peer, unsigned leaked)
{
    fake_guest_end(&peer->guest, leaked);
    free(peer);
}

static inline struct pv_scsifront_queue *fake_connect(struct fake_scsiback *peer,
                                                      uint32_t max_segments, uint32_t buffer_pages)
{
    struct pv_scsifront_config config = {.hypervisor = &peer->guest.hypervisor,
                                         .evtchn = (struct pv_evtchn *)peer,
                                         .buffer_pages = buffer_pages};
    struct pv_scsifront_queue *queue = pv_scsifront_create(&config);
    assert(queue && pv_scsifront_port(queue) >= FAKE_FIRST_PORT);
    grant_ref_t ref = pv_scsifront_ring_ref(queue);
    struct pv_sring *sring = (struct pv_sring *)(uintptr_t)peer->guest.grants[ref].page;
    pv_back_ring_attach(&peer->back, sring, peer->guest.hypervisor.page_size, VSCSIIF_SLOT_SIZE, 0);
    assert(pv_scsifront_connect(queue, max_segments) == 0);
    return queue;
}

static inline void fake_take(struct fake_scsiback *peer, struct pv_vscsiif_request *request)
{
    uint8_t slot[VSCSIIF_SLOT_SIZE];
    assert(pv_back_unconsumed_requests(&peer->back) > 0);
    pv_back_copy_request(&peer->back, peer->back.req_cons++, slot, sizeof(slot));
    pv_vscsiif_decode_request(slot, request);
}

static inline unsigned fake_waiting(const struct fake_scsiback *peer)
{
    return (unsigned)pv_back_unconsumed_requests(&peer->back);
}

/* A segment of memory that the request's frontend has granted. */
static inline uint8_t *fake_segment(struct fake_scsiback *peer,
                                    const struct pv_vscsiif_segment *segment, bool written)
{
    assert(segment->gref < FAKE_GRANTS && segment->length > 0);
    const struct fake_grant *grant = &peer->guest.grants[segment->gref];
    assert(grant->page && !(written && grant->readonly));
    assert(segment->offset + segment->length <= peer->guest.hypervisor.page_size);
    return (uint8_t *)(uintptr_t)grant->page + segment->offset;
}

/* Moves `most` bytes at most between the medium and the granted pages; returns how many. */
static inline uint32_t fake_transfer(struct fake_scsiback *peer,
                                     const struct pv_vscsiif_request *request, uint32_t most)
{
    static struct pv_vscsiif_segment segments[VSCSIIF_SG_TABLESIZE * 2048];
    unsigned count = request->nr_segments & ~VSCSIIF_SG_GRANT, listed = 0;
    assert(count <= VSCSIIF_SG_TABLESIZE);
    memcpy(segments, request->seg, count * sizeof(*segments));
    if (request->nr_segments & VSCSIIF_SG_GRANT) {
        peer->lists++;
        for (unsigned i = 0; i < count; i++) {
            assert(request->seg[i].length % sizeof(*segments) == 0);
            memcpy(segments + listed, fake_segment(peer, &request->seg[i], false),
                   request->seg[i].length);
            listed += request->seg[i].length / sizeof(*segments);
        }
        count = listed;
    }
    const uint8_t *cdb = request->cmnd;
    uint8_t *at = peer->medium + ((uint32_t)cdb[2] << 24 | cdb[3] << 16 | cdb[4] << 8 | cdb[5]);
    bool read = request->sc_data_direction == VSCSIIF_FROM_DEVICE;
    uint32_t done = 0;
    for (unsigned i = 0; i < count && done < most; i++) {
        uint8_t *page = fake_segment(peer, &segments[i], read);
        uint32_t bytes = segments[i].length < most - done ? segments[i].length : most - done;
        assert(at + done + bytes <= peer->medium + MEDIUM);
        memcpy(read ? page : at + done, read ? at + done : page, bytes);
        done += bytes;
    }
    return done;
}

static inline void fake_respond(struct fake_scsiback *peer,
                                const struct pv_vscsiif_response *response)
{
    pv_vscsiif_encode_response(response,
                               pv_back_response_slot(&peer->back, peer->back.rsp_prod_pvt++));
    pv_back_push_responses(&peer->back);
}

static inline void fake_answer(struct fake_scsiback *peer, uint16_t rqid, int32_t rslt)
{
    struct pv_vscsiif_response response = {.rqid = rqid, .rslt = rslt};
    fake_respond(peer, &response);
}

/* Serves everything on the ring. */
static inline void fake_serve(struct fake_scsiback *peer)
{
    while (fake_waiting(peer) > 0) {
        struct pv_vscsiif_request request;
        fake_take(peer, &request);
        fake_transfer(peer, &request, UINT32_MAX);
        fake_answer(peer, request.rqid, 0);
    }
}

/* The CDB of a transfer at `place` of the medium. */
static inline struct pv_scsifront_command fake_command(uint8_t direction, uint32_t place,
                                                       void *data, uint32_t length)
{
    return (struct pv_scsifront_command){
        .act = VSCSIIF_ACT_SCSI_CDB,
        .cdb_length = 10,
        .cdb = {direction == VSCSIIF_TO_DEVICE ? 0x2a : 0x28, 0, (uint8_t)(place >> 24),
                (uint8_t)(place >> 16), (uint8_t)(place >> 8), (uint8_t)place},
        .direction = direction,
        .data = data,
        .length = length,
        .rslt = 99,
    };
}

static inline void fake_submit(struct pv_scsifront_queue *queue,
                               struct pv_scsifront_command *command)
{
    assert(pv_scsifront_submit(queue, &command, 1) == 0);
}

/* Polls, and expects this one command alone. */
static inline void fake_expect(struct pv_scsifront_queue *queue,
                               const struct pv_scsifront_command *command)
{
    struct pv_scsifront_command *done[64];
    assert(pv_scsifront_poll(queue, done, 64) == (command ? 1 : 0));
    assert(!command || done[0] == command);
}

static inline void fake_run(struct fake_scsiback *peer, struct pv_scsifront_queue *queue,
                            struct pv_scsifront_command *command)
{
    fake_submit(queue, command);
    fake_serve(peer);
    fake_expect(queue, command);
}

#endif
