/* A guest of 4 KiB pages that claims the ia64 ABI, and the reverse: its requests would reach past
 * the pages it granted. The backend takes the machine's word for the size of a page. */
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"
#include "pvdrivers/sim/machine.h"

#include <assert.h>

static struct pv_hypervisor *add_domain(struct pv_machine *machine, domid_t domid, enum pv_abi abi)
{
    struct pv_hypervisor *view;
    struct pv_domain_config config = {
        .abi = abi, .memory = 16u << 20, .vcpus = 1, .privileged = domid == 0};
    assert(pv_domain_create(machine, domid, &config) == domid);
    assert(pv_domain_unpause(machine, domid) == 0);
    assert(pv_machine_open_hypervisor(machine, domid, &view) == 0);
    return view;
}

static void check(enum pv_abi domain, enum pv_abi claimed, int error)
{
    struct pv_memory_extent extent = {.size = 64u << 20};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = 32u << 20};
    struct pv_machine *machine;
    assert(pv_machine_create(&config, &machine) == 0);
    struct pv_hypervisor *back = add_domain(machine, 0, PV_ABI_X86_64);
    struct pv_hypervisor *guest = add_domain(machine, 1, domain);
    struct pv_evtchn *back_events = back->ops->evtchn_open(back);
    struct pv_evtchn *guest_events = guest->ops->evtchn_open(guest);
    struct pv_blk_store *store = pv_ram_store_create(64, 512);
    grant_ref_t ref;
    struct pv_sring *sring = guest->ops->pages_alloc(guest, 1);
    pv_sring_init(sring);
    assert(guest->ops->grant_access(guest, 0, sring, false, &ref) == 0);
    int port = guest->ops->evtchn_bind_unbound_port(guest_events, 0);
    assert(port > 0);

    const struct pv_blkback_config queue_config = {.hypervisor = back,
                                                   .evtchn = back_events,
                                                   .frontend = 1,
                                                   .abi = claimed,
                                                   .ring_refs = &ref,
                                                   .ring_pages = 1,
                                                   .remote_port = (evtchn_port_t)port,
                                                   .store = store,
                                                   .persistent = true};
    errno = 0;
    struct pv_blkback_queue *queue = pv_blkback_create(&queue_config);
    assert((queue == NULL) == (error != 0) && (queue || errno == error));
    assert(pv_blkback_destroy(queue) == 0);
    assert(guest->ops->grant_end(guest, ref) == 0); /* nothing stays mapped */

    pv_blk_store_close(store);
    back->ops->evtchn_close(back_events);
    guest->ops->evtchn_close(guest_events);
    guest->ops->close(guest);
    back->ops->close(back);
    pv_machine_close(machine);
}

int main(void)
{
    check(PV_ABI_X86_64, PV_ABI_IA64, EPROTO);
    check(PV_ABI_X86_32, PV_ABI_IA64, EPROTO);
    check(PV_ABI_IA64, PV_ABI_X86_64, EPROTO);
    check(PV_ABI_X86_64, PV_ABI_X86_32, 0); /* a 32-bit kernel's driver: the same pages */
    check(PV_ABI_IA64, PV_ABI_IA64, 0);
    return 0;
}
