/* How a log begins, and how one that a killed backend left behind is read. */
#include "pvdrivers/backends/response_log.h"

#define MAGIC 0x31725650u /* "PVr1" */

size_t pv_response_log_size(uint32_t nr_ents, uint32_t response_size)
{
    size_t size = sizeof(struct pv_response_log) + (size_t)nr_ents * response_size;
    return (size + PV_RESPONSE_LOG_ALIGNMENT - 1) & ~(size_t)(PV_RESPONSE_LOG_ALIGNMENT - 1);
}

bool pv_response_log_has_begun(const struct pv_response_log *log)
{
    return log->magic != 0;
}

int pv_response_log_check(const struct pv_response_log *log,
                          const struct pv_response_log_identity *identity,
                          const struct pv_back_ring *ring)
{
    if (log->magic != MAGIC || memcmp(&log->identity, identity, sizeof *identity) != 0 ||
        log->end - ring->rsp_prod_pvt > ring->nr_ents)
        return -ESTALE;
    struct pv_back_ring left = *ring;
    left.req_cons = left.rsp_prod_pvt = log->end;
    return pv_back_unconsumed_requests(&left) < 0 ? -EIO : 0;
}

static void take_up(struct pv_response_log *log, struct pv_back_ring *ring)
{
    uint32_t published = ring->rsp_prod_pvt;
    ring->req_cons = ring->rsp_prod_pvt = log->end;
    if (published != log->end)
        pv_response_log_publish(log, ring, published, log->identity.response_size);
}

int pv_response_log_attach(struct pv_response_log *log,
                           const struct pv_response_log_identity *identity,
                           struct pv_back_ring *ring)
{
    if (pv_response_log_has_begun(log)) {
        int status = pv_response_log_check(log, identity, ring);
        if (status == 0)
            take_up(log, ring);
        return status;
    }
    log->identity = *identity;
    log->end = ring->rsp_prod_pvt;
    /* Release: a log with a magic number is whole. */
    pv_store_release(&log->magic, MAGIC);
    return 0;
}
