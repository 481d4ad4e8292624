/* The inside of a control ring: the guest's requests about its hash and its static grants. */
#ifndef BACKENDS_VNIF_CONTROL_PRIVATE_H
#define BACKENDS_VNIF_CONTROL_PRIVATE_H

#include "backends/vnif/netback_private.h"

struct pv_netback_control {
    struct pv_pollable pollable; /* first: the poll group's pointer is ours */
    struct pv_netback_vif *vif;
    struct pv_back_ring ring;
    struct pv_response_log *log;
    void *own_log;
    size_t log_size;
    bool bound, stopped, broken;
    bool notify; /* at the next pump */
    int fault_fd;
    struct pv_netback_control_stats stats;
};

extern const struct pv_pollable_ops netback_control_pollable_ops;

/* control_hash.c: carries out a request on `hash`, which is a copy. Returns
 * XEN_NETIF_CTRL_STATUS_*; `*data` is what the response says. */
uint32_t netback_control_hash(struct pv_netback_vif *vif,
                              const struct xen_netif_ctrl_request *request,
                              struct netback_hash *hash, uint32_t *data);

/* control_grants.c: the same of a request about static grants. */
uint32_t netback_control_grants(struct pv_netback_control *control,
                                const struct xen_netif_ctrl_request *request, uint32_t *data);

#endif
