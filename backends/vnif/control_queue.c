/* Creates and ends a control ring. */
#include "backends/reserve.h"
#include "backends/vnif/control_private.h"
#include "pvdrivers/ring/abi_layout.h"

#include <stdlib.h>

size_t pv_netback_control_log_size(enum pv_abi abi)
{
    return netback_log_area(pv_response_log_size(
        pv_ring_entries(pv_abi_page_size(abi), sizeof(union xen_netif_ctrl_sring_entry)),
        sizeof(struct xen_netif_ctrl_response)));
}

static bool config_valid(const struct pv_netback_vif *vif,
                         const struct pv_netback_control_config *config)
{
    return netback_log_fits(config->log, config->log_size,
                            pv_netback_control_log_size(vif->config.abi));
}

static void init_from_config(struct pv_netback_control *control, struct pv_netback_vif *vif,
                             const struct pv_netback_control_config *config)
{
    control->pollable = (struct pv_pollable){.ops = &netback_control_pollable_ops,
                                             .hypervisor = vif->config.hypervisor,
                                             .evtchn = config->evtchn,
                                             .fd = -1};
    control->vif = vif;
    control->fault_fd = config->fault_fd;
}

static int make_log(struct pv_netback_control *control,
                    const struct pv_netback_control_config *config)
{
    control->log_size = pv_netback_control_log_size(control->vif->config.abi);
    if (!config->log)
        control->own_log = reserve(control->log_size);
    if (!config->log && !control->own_log)
        return -ENOMEM;
    control->log = config->log ? config->log : control->own_log;
    return 0;
}

static int map_ring(struct pv_netback_control *control,
                    const struct pv_netback_control_config *config)
{
    return netback_map_ring(control->vif, config->ring_ref,
                            sizeof(union xen_netif_ctrl_sring_entry), &control->ring);
}

static struct pv_response_log_identity identify(const struct pv_netback_control *control,
                                                const struct pv_netback_control_config *config)
{
    return (struct pv_response_log_identity){.frontend = control->vif->config.frontend,
                                             .remote_port = config->port,
                                             .ring_ref = config->ring_ref,
                                             .response_size =
                                                 sizeof(struct xen_netif_ctrl_response)};
}

static int attach_log(struct pv_netback_control *control,
                      const struct pv_netback_control_config *config)
{
    const struct pv_response_log_identity identity = identify(control, config);
    /* An earlier backend may have been killed before it notified. */
    control->notify = pv_response_log_has_begun(control->log);
    return pv_response_log_attach(control->log, &identity, &control->ring);
}

static int build(struct pv_netback_control *control, const struct pv_netback_control_config *config)
{
    int status = map_ring(control, config);
    if (status == 0)
        status = make_log(control, config);
    if (status < 0)
        return status;
    int port = control->pollable.hypervisor->ops->evtchn_bind_interdomain(
        config->evtchn, control->vif->config.frontend, config->port);
    if (port < 0)
        return port;
    control->pollable.port = (evtchn_port_t)port;
    control->bound = true;
    return attach_log(control, config);
}

struct pv_netback_control *pv_netback_control_create(struct pv_netback_vif *vif,
                                                     const struct pv_netback_control_config *config)
{
    struct pv_netback_control *control = NULL;
    errno = EINVAL;
    if (config_valid(vif, config) && config->evtchn)
        control = calloc(1, sizeof *control);
    if (!control)
        return NULL;
    init_from_config(control, vif, config);
    int status = build(control, config);
    if (status < 0) {
        pv_netback_control_destroy(control);
        errno = -status;
        return NULL;
    }
    return control;
}

int pv_netback_control_resumable(struct pv_netback_vif *vif,
                                 const struct pv_netback_control_config *config)
{
    if (!config_valid(vif, config))
        return -EINVAL;
    struct pv_netback_control *control = calloc(1, sizeof *control);
    if (!control)
        return -ENOMEM;
    init_from_config(control, vif, config);
    int status = map_ring(control, config);
    control->log = config->log;
    if (status == 0 && config->log && pv_response_log_has_begun(control->log)) {
        const struct pv_response_log_identity identity = identify(control, config);
        status = pv_response_log_check(control->log, &identity, &control->ring);
    } else if (status == 0 && pv_back_unconsumed_requests(&control->ring) != 0) {
        status = -EBUSY;
    }
    pv_netback_control_destroy(control);
    return status;
}

void pv_netback_control_destroy(struct pv_netback_control *control)
{
    if (!control)
        return;
    const struct pv_pollable *own = &control->pollable;
    if (control->bound)
        own->hypervisor->ops->evtchn_unbind(own->evtchn, own->port);
    netback_unmap_ring(control->vif, &control->ring);
    if (control->own_log)
        munmap(control->own_log, control->log_size);
    free(control);
}

void pv_netback_control_stop(struct pv_netback_control *control)
{
    control->stopped = true;
}

struct pv_pollable *pv_netback_control_pollable(struct pv_netback_control *control)
{
    return &control->pollable;
}

evtchn_port_t pv_netback_control_port(const struct pv_netback_control *control)
{
    return control->pollable.port;
}

bool pv_netback_control_broken(const struct pv_netback_control *control)
{
    return control->broken;
}

void pv_netback_control_get_stats(const struct pv_netback_control *control,
                                  struct pv_netback_control_stats *stats)
{
    /* Another thread may be pumping the ring, and counting, at this moment. */
    pv_read_counters(&control->stats, stats, sizeof *stats);
}
