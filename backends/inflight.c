/* How a log begins, and how one that a killed backend left behind is read. */
#include "pvdrivers/backends/inflight.h"

#include <sys/random.h>

#define MAGIC 0x31665650u /* "PVf1" */

size_t pv_inflight_size(uint32_t nr_ents, uint32_t slot_size)
{
    size_t size = sizeof(struct pv_inflight_log) + nr_ents * pv_inflight_entry_size(slot_size);
    return (size + PV_INFLIGHT_ALIGNMENT - 1) & ~(size_t)(PV_INFLIGHT_ALIGNMENT - 1);
}

static const struct pv_inflight_entry *entry_at(const struct pv_inflight_log *log,
                                                const struct pv_back_ring *ring, uint32_t number)
{
    return pv_inflight_entry((struct pv_inflight_log *)log, ring, number);
}

/* Its response may have been written, but the frontend has not been told of it. */
static bool is_unanswered(const struct pv_inflight_entry *entry, uint32_t req_cons,
                          uint32_t rsp_prod)
{
    switch (entry->state) {
    case PV_INFLIGHT_TAKEN:
        return entry->request != req_cons; /* that one is copied, and still on the ring */
    case PV_INFLIGHT_ANSWERED:
        return entry->response - rsp_prod < req_cons - rsp_prod;
    default:
        return false;
    }
}

bool pv_inflight_has_begun(const struct pv_inflight_log *log)
{
    return log->magic != 0;
}

int pv_inflight_check(const struct pv_inflight_log *log,
                      const struct pv_inflight_identity *identity, const struct pv_back_ring *ring)
{
    if (log->magic != MAGIC || memcmp(&log->identity, identity, sizeof *identity) != 0)
        return -ESTALE;
    struct pv_back_ring left = *ring;
    left.req_cons = log->req_cons;
    uint32_t count = 0;
    for (uint32_t i = 0; i < left.nr_ents; i++)
        count += is_unanswered(entry_at(log, ring, i), left.req_cons, left.rsp_prod_pvt);
    if (count != left.req_cons - left.rsp_prod_pvt)
        return -ESTALE;
    return pv_back_unconsumed_requests(&left) < 0 ? -EIO : (int)count;
}

/* No store here changes what is unanswered. */
static void keep_unanswered(struct pv_inflight_log *log, struct pv_back_ring *ring)
{
    for (uint32_t i = 0; i < ring->nr_ents; i++) {
        struct pv_inflight_entry *entry = pv_inflight_entry(log, ring, i);
        bool unanswered = is_unanswered(entry, log->req_cons, ring->rsp_prod_pvt);
        entry->state = unanswered ? PV_INFLIGHT_TAKEN : PV_INFLIGHT_FREE;
    }
    ring->req_cons = log->req_cons;
}

int pv_inflight_attach(struct pv_inflight_log *log, const struct pv_inflight_identity *identity,
                       struct pv_back_ring *ring)
{
    if (pv_inflight_has_begun(log)) {
        int count = pv_inflight_check(log, identity, ring);
        if (count >= 0)
            keep_unanswered(log, ring);
        return count;
    }
    if (getrandom(log->nonce, sizeof log->nonce, 0) < 0)
        return -errno;
    log->identity = *identity;
    log->req_cons = ring->req_cons;
    /* Release: a log with a magic number is whole. */
    pv_store_release(&log->magic, MAGIC);
    return 0;
}

/* An index may be any distance behind req_cons, but not in front of it. Should a damaged log have
 * two of an index, both are walked. */
int pv_inflight_next(const struct pv_inflight_log *log, const struct pv_back_ring *ring,
                     int previous)
{
    uint32_t end = log->req_cons, oldest = 0;
    uint32_t limit = previous < 0 ? UINT32_MAX : end - entry_at(log, ring, previous)->request;
    int found = -1;
    for (int i = 0; i < (int)ring->nr_ents; i++) {
        const struct pv_inflight_entry *entry = entry_at(log, ring, i);
        uint32_t age = end - entry->request;
        bool follows = age < limit || (age == limit && i > previous);
        if (entry->state == PV_INFLIGHT_TAKEN && follows && (found < 0 || age > oldest)) {
            oldest = age;
            found = i;
        }
    }
    return found;
}
