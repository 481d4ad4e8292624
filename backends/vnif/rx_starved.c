/* Packets wait, and the guest posts no buffers for them. After a while they are dropped, and with
 * them all that the uplink has; after a longer one the queue counts as stalled, until there are
 * buffers again. As Linux's netback does since XSA-392. */
#include "backends/vnif/netback_private.h"

#define NO_BUFFERS "the guest posted no buffers in time"

static uint64_t after(uint64_t from, uint64_t time)
{
    return time == 0 || from + time < from ? UINT64_MAX : from + time;
}

/* A guest that does not say when it posts buffers is not held responsible. */
static uint64_t stall_at(const struct pv_netback_queue *queue)
{
    const struct pv_netback_vif_config *config = &queue->vif->config;
    if (!config->rx_notify || queue->rx.stalled)
        return UINT64_MAX;
    return after(queue->rx.starved_since, config->rx_stall_ns);
}

static void set_stalled(struct pv_netback_queue *queue, bool stalled)
{
    if (queue->rx.stalled == stalled)
        return;
    queue->rx.stalled = stalled;
    if (stalled)
        pv_fetch_add(&queue->vif->stalled, 1);
    else
        pv_fetch_sub(&queue->vif->stalled, 1);
    netback_count(queue, rx_stalls, stalled);
    netback_report(queue->fault_fd);
}

static void drain(struct pv_netback_queue *queue)
{
    struct netback_mailbox *mailbox = &queue->vif->places[queue->index].mailbox;
    struct rx_entry entry;
    netback_rx_drop_backlog(queue, NO_BUFFERS);
    while (netback_mailbox_take(mailbox, &entry, 1)) {
        netback_rx_drop(queue, entry.packet, NO_BUFFERS);
        netback_count(queue, rx_dropped, 1);
    }
    if (queue->receives && queue->uplink->ops->purge)
        queue->uplink->ops->purge(queue->uplink, queue->uplink_queue, queue->cache);
}

/* Once packets have been dropped there may be none, and still no buffers. */
uint32_t netback_rx_buffers_needed(const struct pv_netback_queue *queue)
{
    const struct netback_rx *rx = &queue->rx;
    if (netback_rx_backlog(rx) == 0)
        return rx->starved;
    return netback_rx_slots_needed(queue, &rx->backlog[rx->backlog_first]);
}

void netback_rx_look(struct pv_netback_queue *queue, uint32_t slots, bool placed)
{
    struct netback_rx *rx = &queue->rx;
    uint64_t drain_ns = queue->vif->config.rx_drain_ns;
    if (placed || netback_rx_buffers_needed(queue) <= slots) {
        rx->starved = false;
        set_stalled(queue, false);
    }
    if (netback_rx_buffers_needed(queue) <= slots)
        return;
    if (!rx->starved) {
        rx->starved = true;
        rx->starved_since = queue->now;
        rx->drain_at = after(queue->now, drain_ns);
    }
    rx->poll_at = queue->now + NETBACK_RX_POLL;
    if (queue->now >= rx->drain_at) {
        drain(queue);
        rx->drain_at = after(queue->now, drain_ns);
    }
    if (queue->now >= stall_at(queue))
        set_stalled(queue, true);
}

uint64_t netback_rx_deadline(const struct pv_netback_queue *queue)
{
    const struct netback_rx *rx = &queue->rx;
    if (!rx->starved)
        return UINT64_MAX;
    uint64_t at = rx->drain_at < stall_at(queue) ? rx->drain_at : stall_at(queue);
    return !queue->vif->config.rx_notify && rx->poll_at < at ? rx->poll_at : at;
}

void netback_rx_forget(struct pv_netback_queue *queue)
{
    netback_rx_drop_backlog(queue, "the connection has ended");
    set_stalled(queue, false);
}
