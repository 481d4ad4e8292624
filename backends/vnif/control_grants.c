/* The guest's lists of grants that are to stay mapped, or no longer. A successor of a killed
 * backend has none of them: they are ordinary grants then, which costs time and nothing else. What
 * the guest must know is that a grant which it takes back is not mapped, so each is said to be
 * removed. */
#include "backends/vnif/control_private.h"

#include <stdlib.h>

#define SUCCESS XEN_NETIF_CTRL_STATUS_SUCCESS
#define FAILURE XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER

/* A private copy, which is freed; NULL: there is no such page, or no memory. */
static struct xen_netif_gref *read_list(struct pv_netback_vif *vif, grant_ref_t ref, uint32_t count)
{
    struct xen_netif_gref *list = calloc(count + 1, sizeof *list);
    if (list && netback_copy_from_page(vif, ref, list, (uint16_t)(count * sizeof *list)))
        return list;
    free(list);
    return NULL;
}

static uint32_t remove_all(struct pv_netback_vif *vif, uint32_t queue, struct xen_netif_gref *list,
                           uint32_t count)
{
    uint32_t removed = netback_static_grants_remove(vif, queue, list, count);
    for (uint32_t i = 0; vif->config.resumed && i < count; i++) {
        removed += list[i].status != SUCCESS;
        list[i].status = SUCCESS;
    }
    return removed;
}

/* If the list cannot be written to, its grants are not mapped any more all the same. */
static uint32_t change(struct pv_netback_vif *vif, const struct xen_netif_ctrl_request *request,
                       uint32_t *data)
{
    uint32_t queue = request->data[0], ref = request->data[1], count = request->data[2];
    if (count > netback_static_grants_limit(vif))
        return FAILURE;
    struct xen_netif_gref *list = read_list(vif, ref, count);
    bool done = list;
    if (done && request->type == XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING) {
        done = netback_static_grants_add(vif, queue, list, count);
    } else if (done) {
        *data = remove_all(vif, queue, list, count);
        done = netback_copy_to_page(vif, ref, list, (uint16_t)(count * sizeof *list));
    }
    free(list);
    return done ? SUCCESS : FAILURE;
}

uint32_t netback_control_grants(struct pv_netback_control *control,
                                const struct xen_netif_ctrl_request *request, uint32_t *data)
{
    if (request->data[0] >= control->vif->config.queues)
        return FAILURE;
    if (request->type != XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)
        return change(control->vif, request, data);
    *data = netback_static_grants_limit(control->vif);
    return SUCCESS;
}
