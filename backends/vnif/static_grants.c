/* Grants of one queue that stay mapped, by reference: static grants. The control ring adds and
 * removes them, perhaps while another thread pumps the queue, which holds the table's lock while
 * it copies. So what is taken out of the table has no user any more and may be unmapped.
 *
 * Packets are copied, as those of other grants are: the uplink and the kernel behind it never get
 * the guest's pages. So it does not matter whether mapped pages outlive the process. */
#include "backends/vnif/netback_private.h"

#include <stdlib.h>

#define BATCH 64 /* grants mapped or unmapped in one call */

/* Half of the places stay free, so that one that is not there is soon known not to be. */
static uint32_t places(const struct pv_netback_vif *vif)
{
    return 2 * netback_static_grants_limit(vif);
}

/* References that follow one another, as a ring's pages have them, stand side by side. A guest that
 * chooses some that meet makes only its own packets slower. */
static uint32_t home(const struct netback_static_grants *table, grant_ref_t ref)
{
    return ref & table->mask;
}

/* The place of a reference, or the free one where it would be. */
static struct pv_grant_map *place(const struct netback_static_grants *table, grant_ref_t ref)
{
    uint32_t at = home(table, ref);
    while (table->grants[at].address && table->grants[at].ref != ref)
        at = (at + 1) & table->mask;
    return &table->grants[at];
}

/* Fills the gap with what stands behind it, so that a search does not end there. */
static void erase(struct netback_static_grants *table, struct pv_grant_map *grant)
{
    uint32_t gap = (uint32_t)(grant - table->grants);
    for (uint32_t at = (gap + 1) & table->mask; table->grants[at].address;
         at = (at + 1) & table->mask) {
        uint32_t distance = (at - home(table, table->grants[at].ref)) & table->mask;
        if (distance < ((at - gap) & table->mask))
            continue;
        table->grants[gap] = table->grants[at];
        gap = at;
    }
    table->grants[gap].address = NULL;
    pv_write_once(&table->count, table->count - 1);
}

static bool insert(struct netback_static_grants *table, const struct pv_grant_map *grant)
{
    struct pv_grant_map *free_place = place(table, grant->ref);
    if (free_place->address)
        return false;
    *free_place = *grant;
    pv_write_once(&table->count, table->count + 1);
    return true;
}

/* ---- What a queue does ----------------------------------------------------------------------- */

static void carry_out(struct pv_netback_queue *queue)
{
    struct netback_static_copies *staged = &queue->static_copies;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < staged->count; i++) {
        memcpy(staged->copies[i].to, staged->copies[i].from, staged->copies[i].length);
        bytes += staged->copies[i].length;
    }
    netback_count(queue, static_copies, staged->count);
    netback_count(queue, bytes_copied, bytes);
    staged->count = 0;
}

void netback_static_grants_hold(struct pv_netback_queue *queue)
{
    struct netback_static_grants *table = &queue->vif->places[queue->index].static_grants;
    /* No order: what is not seen yet is copied as any other grant. */
    if (pv_read_once(&table->count) == 0)
        return;
    pthread_mutex_lock(&table->lock);
    queue->static_grants = table;
}

void netback_static_grants_let_go(struct pv_netback_queue *queue)
{
    if (!queue->static_grants)
        return;
    carry_out(queue);
    pthread_mutex_unlock(&queue->static_grants->lock);
    queue->static_grants = NULL;
}

/* Where `offset` in the grant's page is; NULL: the grant is none of the table's. */
static uint8_t *mapped(const struct pv_netback_queue *queue, grant_ref_t ref, uint16_t offset,
                       bool to_write)
{
    if (!queue->static_grants)
        return NULL;
    const struct pv_grant_map *grant = place(queue->static_grants, ref);
    if (!grant->address || (to_write && grant->flags & GNTMAP_readonly))
        return NULL;
    return (uint8_t *)grant->address + offset;
}

static void stage(struct pv_netback_queue *queue, void *to, const void *from, uint16_t length)
{
    struct netback_static_copies *staged = &queue->static_copies;
    if (staged->count == NETBACK_STATIC_COPIES)
        carry_out(queue);
    staged->copies[staged->count++] = (struct netback_static_copy){to, from, length};
}

/* The guest's processor has just used these bytes, so they come from its cache. Until the copy is
 * made, all of a batch are on their way. */
bool netback_copy_from_static(struct pv_netback_queue *queue, grant_ref_t ref, uint16_t offset,
                              void *to, uint16_t length)
{
    const uint8_t *from = mapped(queue, ref, offset, false);
    if (!from)
        return false;
    pv_prefetch_to_read(from);
    stage(queue, to, from, length);
    return true;
}

bool netback_copy_to_static(struct pv_netback_queue *queue, grant_ref_t ref, uint16_t offset,
                            const void *from, uint16_t length)
{
    uint8_t *to = mapped(queue, ref, offset, true);
    if (!to)
        return false;
    pv_prefetch_to_write(to);
    stage(queue, to, from, length);
    return true;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static void unmap(struct pv_netback_vif *vif, struct pv_grant_map *grants, uint32_t count)
{
    struct pv_hypervisor *hypervisor = vif->config.hypervisor;
    if (count)
        hypervisor->ops->gnttab_unmap(hypervisor, grants, count);
}

/* Returns how many are mapped; they come first then. */
static uint32_t map(struct pv_netback_vif *vif, struct pv_grant_map *grants, uint32_t count)
{
    struct pv_hypervisor *hypervisor = vif->config.hypervisor;
    uint32_t mapped = 0;
    if (hypervisor->ops->gnttab_map(hypervisor, grants, count) < 0)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        if (grants[i].status ==
            GNTST_okay) /* any other is a failure, whatever its sign (XSA-316) */
            grants[mapped++] = grants[i];
    return mapped;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static bool insert_all(struct netback_static_grants *table, const struct pv_grant_map *grants,
                       uint32_t count)
{
    uint32_t inserted = 0;
    pthread_mutex_lock(&table->lock);
    while (inserted < count && insert(table, &grants[inserted]))
        inserted++;
    bool all = inserted == count;
    while (!all && inserted > 0)
        erase(table, place(table, grants[--inserted].ref));
    pthread_mutex_unlock(&table->lock);
    return all;
}

static bool add_batch(struct pv_netback_vif *vif, struct netback_static_grants *table,
                      const struct xen_netif_gref *list, uint32_t count)
{
    struct pv_grant_map grants[BATCH];
    for (uint32_t i = 0; i < count; i++) {
        bool readonly = list[i].flags & XEN_NETIF_CTRLF_GREF_readonly;
        grants[i] =
            (struct pv_grant_map){.ref = list[i].ref,
                                  .domid = vif->config.frontend,
                                  .flags = GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0),
                                  .status = GNTST_general_error};
    }
    uint32_t mapped = map(vif, grants, count);
    if (mapped == count && insert_all(table, grants, count))
        return true;
    unmap(vif, grants, mapped);
    return false;
}

static bool make_table(struct pv_netback_vif *vif, struct netback_static_grants *table)
{
    if (table->grants) /* a queue may be reading it */
        return true;
    table->grants = calloc(places(vif), sizeof *table->grants);
    table->mask = places(vif) - 1;
    return table->grants != NULL;
}

bool netback_static_grants_add(struct pv_netback_vif *vif, uint32_t queue,
                               struct xen_netif_gref *list, uint32_t count)
{
    struct netback_static_grants *table = &vif->places[queue].static_grants;
    if (count > netback_static_grants_limit(vif) - table->count || !make_table(vif, table))
        return false;
    for (uint32_t done = 0, batch; done < count; done += batch) {
        batch = count - done < BATCH ? count - done : BATCH;
        if (add_batch(vif, table, list + done, batch))
            continue;
        netback_static_grants_remove(vif, queue, list, done);
        return false;
    }
    return true;
}

/* ---- Removing -------------------------------------------------------------------------------- */

static uint32_t remove_batch(struct pv_netback_vif *vif, struct netback_static_grants *table,
                             struct xen_netif_gref *list, uint32_t count)
{
    struct pv_grant_map removed[BATCH];
    uint32_t removed_count = 0;
    pthread_mutex_lock(&table->lock);
    for (uint32_t i = 0; i < count; i++) {
        struct pv_grant_map *grant = table->grants ? place(table, list[i].ref) : NULL;
        bool known = grant && grant->address;
        list[i].status =
            known ? XEN_NETIF_CTRL_STATUS_SUCCESS : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
        if (!known)
            continue;
        removed[removed_count++] = *grant;
        erase(table, grant);
    }
    pthread_mutex_unlock(&table->lock);
    unmap(vif, removed, removed_count);
    return removed_count;
}

uint32_t netback_static_grants_remove(struct pv_netback_vif *vif, uint32_t queue,
                                      struct xen_netif_gref *list, uint32_t count)
{
    uint32_t removed = 0;
    for (uint32_t done = 0, batch; done < count; done += batch) {
        batch = count - done < BATCH ? count - done : BATCH;
        removed += remove_batch(vif, &vif->places[queue].static_grants, list + done, batch);
    }
    return removed;
}

/* ---- From the vif's creation to its end ------------------------------------------------------ */

uint32_t netback_static_grants_limit(const struct pv_netback_vif *vif)
{
    return vif->page_size / (uint32_t)sizeof(struct xen_netif_gref);
}

void netback_static_grants_init(struct netback_static_grants *table)
{
    pthread_mutex_init(&table->lock, NULL);
}

void netback_static_grants_destroy(struct pv_netback_vif *vif, struct netback_static_grants *table)
{
    for (uint32_t at = 0; table->count && at <= table->mask; at++)
        if (table->grants[at].address)
            unmap(vif, &table->grants[at], 1);
    free(table->grants);
    pthread_mutex_destroy(&table->lock);
}
