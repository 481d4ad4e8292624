/* Takes the guest's requests one by one. A request that was carried out and not answered when its
 * backend was killed is carried out again: the hash does not change by that, and static grants have
 * ended with the process. */
#include "backends/vnif/control_private.h"

static uint32_t change_hash(struct pv_netback_control *control,
                            const struct xen_netif_ctrl_request *request, uint32_t *data)
{
    struct netback_hash hash = control->vif->settings.hash; /* nobody else changes it */
    uint32_t status = netback_control_hash(control->vif, request, &hash, data);
    if (status == XEN_NETIF_CTRL_STATUS_SUCCESS)
        netback_save_hash(control->vif, &hash);
    return status;
}

static uint32_t carry_out(struct pv_netback_control *control,
                          const struct xen_netif_ctrl_request *request, uint32_t *data)
{
    switch (request->type) {
    case XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE:
    case XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING:
    case XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING:
        return netback_control_grants(control, request, data);
    default:
        return change_hash(control, request, data);
    }
}

static void answer(struct pv_netback_control *control, const struct xen_netif_ctrl_request *request)
{
    struct xen_netif_ctrl_response response = {.id = request->id, .type = request->type};
    response.status = carry_out(control, request, &response.data);
    pv_add_counter(&control->stats.requests, 1);
    pv_add_counter(&control->stats.failures, response.status != XEN_NETIF_CTRL_STATUS_SUCCESS);
    memcpy(pv_response_log_slot(control->log, &control->ring, control->ring.rsp_prod_pvt++,
                                sizeof response),
           &response, sizeof response);
    bool notify = pv_response_log_push(control->log, &control->ring, sizeof response);
    pv_add_counter(&control->stats.notifications_suppressed, !notify);
    control->notify |= notify;
}

static void notify(struct pv_netback_control *control)
{
    const struct pv_pollable *own = &control->pollable;
    if (control->notify) {
        own->hypervisor->ops->evtchn_notify(own->evtchn, own->port);
        pv_add_counter(&control->stats.notifications_sent, 1);
    }
    control->notify = false;
}

int pv_netback_control_pump(struct pv_netback_control *control, uint32_t budget, uint64_t now)
{
    uint32_t taken = 0;
    int ready;
    (void)now;
    if (control->broken || control->stopped)
        return control->broken ? -EPROTO : 0;
    while ((ready = pv_back_unconsumed_requests(&control->ring)) > 0 && taken < budget) {
        struct xen_netif_ctrl_request request;
        pv_back_copy_request(&control->ring, control->ring.req_cons++, &request, sizeof request);
        answer(control, &request);
        taken++;
    }
    notify(control);
    if (ready < 0) {
        control->broken = true;
        netback_report(control->fault_fd);
        return -EPROTO;
    }
    return (int)taken;
}

bool pv_netback_control_arm(struct pv_netback_control *control)
{
    return !control->broken && !control->stopped && pv_back_final_check(&control->ring);
}

/* ---- The same for a poll group --------------------------------------------------------------- */

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t now)
{
    return pv_netback_control_pump((struct pv_netback_control *)pollable, budget, now);
}

static bool arm(struct pv_pollable *pollable)
{
    return pv_netback_control_arm((struct pv_netback_control *)pollable);
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    (void)pollable;
    return UINT64_MAX;
}

const struct pv_pollable_ops netback_control_pollable_ops = {
    .pump = pump, .arm = arm, .deadline = deadline};
