/* What the queues of one vif share. Settings that change are behind a lock; a queue looks at their
 * generation in each pump, and copies them when it has changed. */
#include "backends/map_ring.h"
#include "backends/reserve.h"
#include "backends/vnif/netback_private.h"
#include "pvdrivers/ring/abi_layout.h"

#include <errno.h>

static bool config_valid(const struct pv_netback_vif_config *config)
{
    return config->hypervisor && config->uplink && (uint32_t)config->abi < PV_ABI_COUNT &&
           config->queues >= 1 && config->queues <= PV_NETBACK_MAX_QUEUES;
}

/* A packet still needs some of a page. */
static uint16_t limit_headroom(const struct pv_netback_vif *vif, uint16_t bytes)
{
    return bytes > vif->page_size / 2 ? (uint16_t)(vif->page_size / 2) : bytes;
}

struct pv_netback_vif *pv_netback_vif_create(const struct pv_netback_vif_config *config)
{
    struct pv_netback_vif *vif = NULL;
    errno = EINVAL;
    if (config_valid(config))
        vif = reserve(sizeof *vif);
    if (!vif)
        return NULL;
    vif->config = *config;
    pv_fetch_add(&config->uplink->users, 1);
    vif->page_size = pv_abi_page_size(config->abi);
    /* A GSO packet is longer than a page, and its checksum is blank. */
    vif->gso_tcpv4 = config->gso_tcpv4 && config->sg && config->csum_ipv4;
    vif->gso_tcpv6 = config->gso_tcpv6 && config->sg && config->csum_ipv6;
    vif->settings =
        (struct netback_settings){.rate_bytes = config->rate_bytes,
                                  .rate_usec = config->rate_usec,
                                  .xdp_headroom = limit_headroom(vif, config->xdp_headroom),
                                  .multicast_control = config->multicast_control,
                                  .multicast.incomplete = config->resumed};
    vif->generation = 1; /* queues have seen 0 */
    pthread_mutex_init(&vif->lock, NULL);
    for (uint32_t i = 0; i < config->queues; i++) {
        pthread_mutex_init(&vif->places[i].mailbox.lock, NULL);
        pthread_mutex_init(&vif->places[i].uplink_lock, NULL);
        netback_static_grants_init(&vif->places[i].static_grants);
    }
    return vif;
}

void pv_netback_vif_destroy(struct pv_netback_vif *vif)
{
    if (!vif)
        return;
    for (uint32_t i = 0; i < vif->config.queues; i++) {
        netback_static_grants_destroy(vif, &vif->places[i].static_grants);
        pthread_mutex_destroy(&vif->places[i].uplink_lock);
        pthread_mutex_destroy(&vif->places[i].mailbox.lock);
    }
    pthread_mutex_destroy(&vif->lock);
    pv_fetch_sub(&vif->config.uplink->users, 1);
    munmap(vif, sizeof *vif);
}

void pv_netback_vif_set_uplink(struct pv_netback_vif *vif, struct pv_uplink *uplink)
{
    pv_fetch_sub(&vif->config.uplink->users, 1);
    vif->config.uplink = uplink;
    pv_fetch_add(&uplink->users, 1);
}

/* ---- Settings -------------------------------------------------------------------------------- */

struct netback_settings *netback_settings_change(struct pv_netback_vif *vif)
{
    pthread_mutex_lock(&vif->lock);
    return &vif->settings;
}

void netback_settings_changed(struct pv_netback_vif *vif)
{
    pv_write_once(&vif->generation, vif->generation + 1);
    pthread_mutex_unlock(&vif->lock);
}

bool netback_settings_read(struct pv_netback_vif *vif, struct netback_settings *settings,
                           uint32_t *generation)
{
    /* No order: the lock gives it. */
    if (pv_read_once(&vif->generation) == *generation)
        return false;
    pthread_mutex_lock(&vif->lock);
    *settings = vif->settings;
    *generation = vif->generation;
    pthread_mutex_unlock(&vif->lock);
    return true;
}

/* Some may wait for what the settings before said. */
static void wake_queues(struct pv_netback_vif *vif)
{
    for (uint32_t i = 0; i < vif->config.queues; i++)
        netback_mailbox_wake(&vif->places[i].mailbox);
}

void pv_netback_vif_set_rate(struct pv_netback_vif *vif, uint64_t bytes, uint64_t usec)
{
    struct netback_settings *settings = netback_settings_change(vif);
    settings->rate_bytes = bytes;
    settings->rate_usec = usec;
    netback_settings_changed(vif);
    wake_queues(vif); /* there may be credit before the old limit's time */
}

void pv_netback_vif_set_multicast_control(struct pv_netback_vif *vif, bool enabled)
{
    netback_settings_change(vif)->multicast_control = enabled;
    netback_settings_changed(vif);
}

void pv_netback_vif_set_xdp_headroom(struct pv_netback_vif *vif, uint16_t bytes)
{
    netback_settings_change(vif)->xdp_headroom = limit_headroom(vif, bytes);
    netback_settings_changed(vif);
    wake_queues(vif); /* a packet that waits for buffers may need fewer */
}

/* ---- What they are as one -------------------------------------------------------------------- */

bool pv_netback_vif_stalled(const struct pv_netback_vif *vif)
{
    return pv_read_once(&vif->stalled) == vif->config.queues;
}

uint32_t pv_netback_vif_choose_queue(struct pv_netback_vif *vif, struct pv_packet *packet,
                                     uint32_t queue)
{
    struct rx_entry entry = {.packet = packet};
    pthread_mutex_lock(&vif->lock);
    const struct netback_hash *hash = &vif->settings.hash;
    if (hash->algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE) {
        netback_hash_packet(hash, &entry);
        queue = netback_hash_queue(hash, &entry, vif->config.queues);
    }
    pthread_mutex_unlock(&vif->lock);
    return queue;
}

/* ---- Pages of the guest ---------------------------------------------------------------------- */

static bool copy_page(struct pv_netback_vif *vif, struct pv_grant_copy copy)
{
    struct pv_hypervisor *hypervisor = vif->config.hypervisor;
    copy.status = GNTST_general_error;
    return copy.len == 0 ||
           (hypervisor->ops->gnttab_copy(hypervisor, &copy, 1) >= 0 && copy.status == GNTST_okay);
}

bool netback_copy_from_page(struct pv_netback_vif *vif, grant_ref_t ref, void *to, uint16_t size)
{
    return copy_page(vif,
                     (struct pv_grant_copy){.source = {.ref = ref, .domid = vif->config.frontend},
                                            .dest = {.address = to, .domid = DOMID_SELF},
                                            .len = size,
                                            .flags = GNTCOPY_source_gref});
}

bool netback_copy_to_page(struct pv_netback_vif *vif, grant_ref_t ref, void *from, uint16_t size)
{
    return copy_page(vif,
                     (struct pv_grant_copy){.source = {.address = from, .domid = DOMID_SELF},
                                            .dest = {.ref = ref, .domid = vif->config.frontend},
                                            .len = size,
                                            .flags = GNTCOPY_dest_gref});
}

/* ---- Rings ----------------------------------------------------------------------------------- */

int netback_map_ring(struct pv_netback_vif *vif, grant_ref_t ref, uint32_t slot_size,
                     struct pv_back_ring *ring)
{
    const struct ring_source source = {.hypervisor = vif->config.hypervisor,
                                       .frontend = vif->config.frontend,
                                       .refs = &ref,
                                       .pages = 1,
                                       .page_size = vif->page_size,
                                       .slot_size = slot_size};
    return map_ring(&source, ring);
}

void netback_unmap_ring(struct pv_netback_vif *vif, struct pv_back_ring *ring)
{
    struct pv_hypervisor *hypervisor = vif->config.hypervisor;
    if (ring->sring)
        hypervisor->ops->gnttab_unmap_contiguous(hypervisor, ring->sring, 1);
    ring->sring = NULL;
}
