#include "backends/map_ring.h"

/* The frontend names its ABI, and may lie: if its pages were smaller than the ABI's, its ring and
 * its requests could reach memory behind them here. The page size is known once the ring is mapped,
 * and does not change. */
static bool abi_is_true(const struct ring_source *source)
{
    struct pv_hypervisor *hypervisor = source->hypervisor;
    uint32_t granted = hypervisor->ops->gnttab_page_size
                           ? hypervisor->ops->gnttab_page_size(hypervisor, source->frontend)
                           : hypervisor->page_size;
    return granted == source->page_size;
}

int map_ring(const struct ring_source *source, struct pv_back_ring *ring)
{
    struct pv_hypervisor *hypervisor = source->hypervisor;
    struct pv_sring *sring = hypervisor->ops->gnttab_map_contiguous(
        hypervisor, source->frontend, source->refs, source->pages, false);
    if (!sring)
        return -errno;
    if (!abi_is_true(source)) {
        hypervisor->ops->gnttab_unmap_contiguous(hypervisor, sring, source->pages);
        return -EPROTO;
    }
    /* Where an earlier backend stopped; read once, since the frontend can change it later. */
    uint32_t rsp_prod = pv_read_once(&sring->rsp_prod);
    pv_back_ring_attach(ring, sring, (size_t)source->pages * source->page_size, source->slot_size,
                        rsp_prod);
    return pv_back_unconsumed_requests(ring) < 0 ? -EIO : 0;
}
