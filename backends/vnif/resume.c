/* A queue's two logs lie side by side, that of tx first, and behind those of queue 0 what the guest
 * has told the vif. An earlier queue of the connection may have left them. */
#include "backends/vnif/netback_private.h"
#include "pvdrivers/ring/abi_layout.h"

static uint32_t entries(enum pv_abi abi, uint32_t slot_size)
{
    return pv_ring_entries(pv_abi_page_size(abi), slot_size);
}

static size_t tx_log_size(enum pv_abi abi)
{
    return pv_response_log_size(entries(abi, sizeof(union netif_tx_sring_entry)),
                                sizeof(struct netif_tx_response));
}

static size_t logs_size(enum pv_abi abi)
{
    return tx_log_size(abi) + pv_response_log_size(entries(abi, sizeof(union netif_rx_sring_entry)),
                                                   sizeof(struct netif_rx_response));
}

size_t pv_netback_log_size(enum pv_abi abi, uint32_t index)
{
    return netback_log_area(logs_size(abi) + (index == 0 ? sizeof(struct netback_saved) : 0));
}

void netback_place_logs(struct pv_netback_queue *queue, void *area)
{
    queue->tx.log = area;
    queue->rx.log = (void *)((uint8_t *)area + tx_log_size(queue->vif->config.abi));
    if (queue->index == 0)
        queue->saved = (void *)((uint8_t *)area + logs_size(queue->vif->config.abi));
}

static struct pv_response_log_identity identify(const struct pv_netback_queue *queue,
                                                const struct pv_netback_queue_config *config,
                                                bool tx)
{
    return (struct pv_response_log_identity){
        .frontend = queue->vif->config.frontend,
        .remote_port = tx ? config->tx_port : config->rx_port,
        .ring_ref = tx ? config->tx_ring_ref : config->rx_ring_ref,
        .response_size = tx ? sizeof(struct netif_tx_response) : sizeof(struct netif_rx_response)};
}

/* The tx log is begun first and attached first. A backend that was killed in between has not
 * touched the rx ring. */
int netback_check_logs(const struct pv_netback_queue *queue,
                       const struct pv_netback_queue_config *config)
{
    const struct pv_response_log_identity tx = identify(queue, config, true);
    const struct pv_response_log_identity rx = identify(queue, config, false);
    int status = queue->saved ? netback_saved_check(queue->saved) : 0;
    if (status == 0)
        status = pv_response_log_check(queue->tx.log, &tx, &queue->tx.ring);
    if (status == 0 && pv_response_log_has_begun(queue->rx.log))
        status = pv_response_log_check(queue->rx.log, &rx, &queue->rx.ring);
    return status;
}

static int attach(struct pv_netback_queue *queue, struct pv_response_log *log,
                  const struct pv_response_log_identity *identity, struct pv_back_ring *ring)
{
    uint32_t published = ring->rsp_prod_pvt;
    int status = pv_response_log_attach(log, identity, ring);
    if (status == 0)
        netback_count(queue, resumed, ring->rsp_prod_pvt - published);
    return status;
}

int netback_attach_logs(struct pv_netback_queue *queue,
                        const struct pv_netback_queue_config *config)
{
    const struct pv_response_log_identity tx = identify(queue, config, true);
    const struct pv_response_log_identity rx = identify(queue, config, false);
    int status = queue->saved ? netback_saved_check(queue->saved) : 0;
    if (status < 0)
        return status;
    if (queue->saved) /* before the logs: requests that they do not count change it again */
        netback_saved_attach(queue->vif, queue->saved);
    /* An earlier backend may have been killed before it notified. */
    queue->notify_tx = queue->notify_rx = pv_response_log_has_begun(queue->tx.log);
    status = attach(queue, queue->tx.log, &tx, &queue->tx.ring);
    return status < 0 ? status : attach(queue, queue->rx.log, &rx, &queue->rx.ring);
}
