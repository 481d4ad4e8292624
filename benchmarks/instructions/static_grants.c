/* What a guest asks of the control ring before its first packet. */
#include "benchmarks/instructions/static_grants.h"

#include "pvdrivers/ring/ring.h"

#include <string.h>

#define SLOT sizeof(union xen_netif_ctrl_sring_entry)

/* Granted to dom0; NULL: none is left. */
static void *grant_page(struct pv_hypervisor *guest, grant_ref_t *ref)
{
    void *page = guest->ops->pages_alloc(guest, 1);
    return page && guest->ops->grant_access(guest, 0, page, false, ref) == 0 ? page : NULL;
}

struct pv_netback_control *add_static_grants(struct pv_netback_vif *vif, struct pv_evtchn *event,
                                             struct pv_hypervisor *guest,
                                             struct pv_evtchn *guest_event,
                                             const struct pv_netfront_queue *front)
{
    grant_ref_t ring_ref, list_ref;
    struct pv_sring *shared = grant_page(guest, &ring_ref);
    struct xen_netif_gref *list = grant_page(guest, &list_ref);
    int port = guest->ops->evtchn_bind_unbound_port(guest_event, 0);
    if (!shared || !list || port < 0)
        return NULL;
    struct pv_front_ring ring;
    pv_sring_init(shared);
    pv_front_ring_attach(&ring, shared, guest->page_size, SLOT, 0);
    uint32_t most = guest->page_size / (uint32_t)sizeof *list;
    const struct xen_netif_ctrl_request request = {
        .type = XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
        .data = {0, list_ref, pv_netfront_list_grants(front, list, most)}};
    memcpy(pv_front_request_slot(&ring, ring.req_prod_pvt++), &request, sizeof request);
    pv_front_push_requests(&ring);
    const struct pv_netback_control_config config = {
        .evtchn = event, .ring_ref = ring_ref, .port = (evtchn_port_t)port};
    struct pv_netback_control *control = pv_netback_control_create(vif, &config);
    struct xen_netif_ctrl_response response = {.status = XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED};
    if (control && pv_netback_control_pump(control, 1, 0) == 1 &&
        pv_front_unconsumed_responses(&ring) == 1)
        pv_front_copy_response(&ring, ring.rsp_cons, &response, sizeof response);
    if (response.status == XEN_NETIF_CTRL_STATUS_SUCCESS)
        return control;
    pv_netback_control_destroy(control);
    return NULL;
}
