/* One pump: batches both ways until neither side has more, each with one decision to notify. */
#include "backends/vnif/netback_private.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

void netback_report(int fault_fd)
{
    if (fault_fd > 0)
        eventfd_write(fault_fd, 1);
}

void netback_break(struct pv_netback_queue *queue, int error)
{
    queue->broken = true;
    netback_count(queue, errors[error], 1);
    netback_report(queue->fault_fd);
}

/* Undoes the arm before this pump. */
static void wake_up(struct pv_netback_queue *queue)
{
    if (queue->slept)
        netback_mailbox_disarm(&queue->vif->places[queue->index].mailbox);
    queue->slept = false;
}

static void refresh_settings(struct pv_netback_queue *queue)
{
    struct netback_settings *settings = &queue->settings;
    struct netback_credit *credit = &queue->tx.credit;
    if (!netback_settings_read(queue->vif, settings, &queue->generation))
        return;
    if (settings->rate_bytes != credit->bytes || settings->rate_usec != credit->usec)
        netback_credit_set(credit, settings->rate_bytes, settings->rate_usec, queue->now);
}

static void notify_port(struct pv_netback_queue *queue, evtchn_port_t port)
{
    const struct pv_pollable *own = &queue->pollable;
    own->hypervisor->ops->evtchn_notify(own->evtchn, port);
    netback_count(queue, notifications_sent, 1);
}

static void notify(struct pv_netback_queue *queue)
{
    evtchn_port_t tx = queue->pollable.port, rx = pv_netback_queue_rx_port(queue);
    if (queue->notify_tx || (queue->notify_rx && rx == tx))
        notify_port(queue, tx);
    if (queue->notify_rx && rx != tx)
        notify_port(queue, rx);
    queue->notify_tx = queue->notify_rx = false;
}

static void lock_uplink(const struct pv_netback_queue *queue)
{
    if (queue->uplink_lock)
        pthread_mutex_lock(queue->uplink_lock);
}

static void unlock_uplink(const struct pv_netback_queue *queue)
{
    if (queue->uplink_lock)
        pthread_mutex_unlock(queue->uplink_lock);
}

/* What it has sent may be held back in the uplink for a time that the one that receives had not
 * heard of when it fell asleep. */
static void tell_receiver(const struct pv_netback_queue *queue)
{
    if (!queue->receives && queue->uplink->ops->deadline)
        netback_mailbox_wake(&queue->vif->places[queue->uplink_queue].mailbox);
}

int pv_netback_queue_pump(struct pv_netback_queue *queue, uint32_t budget, uint64_t now)
{
    uint32_t sent = 0, received = 0, tx, rx;
    wake_up(queue); /* a broken one too, or what has woken it would do so for ever */
    if (queue->broken || queue->stopped)
        return queue->broken ? -EPROTO : 0;
    queue->now = now;
    queue->tx.bytes_left = queue->rx.bytes_left = NETBACK_MAX_BYTES;
    refresh_settings(queue);
    lock_uplink(queue);
    do {
        sent += tx = netback_tx_batch(queue, budget - sent);
        received += rx = queue->broken ? 0 : netback_rx_batch(queue, budget - received);
        notify(queue);
    } while ((tx || rx) && !queue->broken);
    unlock_uplink(queue);
    if (sent)
        tell_receiver(queue);
    return queue->broken ? -EPROTO : (int)(sent + received);
}

/* ---- Sleeping -------------------------------------------------------------------------------- */

/* While the guest has no buffers the uplink keeps what comes. */
static bool wants_packets(const struct pv_netback_queue *queue)
{
    return !queue->broken && !queue->stopped && !queue->rx.starved;
}

static void watch_uplink(struct pv_netback_queue *queue, bool watched)
{
    const struct pv_uplink *uplink = queue->uplink;
    struct epoll_event event = {.events = watched ? EPOLLIN : 0};
    if (queue->watching == watched || queue->pollable.fd == queue->eventfd)
        return;
    epoll_ctl(queue->pollable.fd, EPOLL_CTL_MOD,
              uplink->ops->fd(queue->uplink, queue->uplink_queue), &event);
    queue->watching = watched;
}

/* Whether the next pump is not in vain, or finds the ring overrun. */
static bool buffers_suffice(const struct pv_netback_queue *queue, uint32_t needed)
{
    int ready = pv_back_unconsumed_requests(&queue->rx.ring);
    return ready < 0 || (uint32_t)ready >= needed;
}

/* Asks to be notified when the guest has posted as many buffers as the packet that waits needs.
 * They may have come since the last look: the guest was not asked to tell of them. */
static bool buffers_have_come(struct pv_netback_queue *queue)
{
    struct pv_back_ring *ring = &queue->rx.ring;
    uint32_t needed = netback_rx_buffers_needed(queue);
    if (buffers_suffice(queue, needed))
        return true;
    if (!queue->vif->config.rx_notify)
        return false;
    pv_ring_arm(&ring->sring->req_event, ring->req_cons + needed - 1);
    return buffers_suffice(queue, needed);
}

static bool packets_have_come(struct pv_netback_queue *queue)
{
    struct pv_uplink *uplink = queue->uplink;
    if (netback_rx_backlog(&queue->rx) > 0 || !queue->receives || !uplink->ops->arm)
        return netback_rx_backlog(&queue->rx) > 0;
    lock_uplink(queue);
    bool come = uplink->ops->arm(uplink, queue->uplink_queue);
    unlock_uplink(queue);
    return come;
}

bool pv_netback_queue_arm(struct pv_netback_queue *queue)
{
    queue->slept = true;
    pv_packet_cache_flush(queue->cache); /* so that a sleeping queue holds no memory */
    watch_uplink(queue, wants_packets(queue));
    bool posted = netback_mailbox_arm(&queue->vif->places[queue->index].mailbox);
    if (queue->broken || queue->stopped)
        return false;
    bool throttled = queue->tx.credit.deadline != UINT64_MAX;
    bool work = !throttled && pv_back_final_check(&queue->tx.ring);
    if (queue->rx.starved)
        return buffers_have_come(queue) || work;
    return packets_have_come(queue) || posted || work;
}

uint64_t pv_netback_queue_deadline(const struct pv_netback_queue *queue)
{
    struct pv_uplink *uplink = queue->uplink;
    if (queue->broken || queue->stopped)
        return UINT64_MAX;
    uint64_t at = queue->tx.credit.deadline, rx = netback_rx_deadline(queue);
    if (rx < at)
        at = rx;
    if (!queue->receives || !uplink->ops->deadline)
        return at;
    lock_uplink(queue);
    uint64_t due = uplink->ops->deadline(uplink, queue->uplink_queue);
    unlock_uplink(queue);
    return due < at ? due : at;
}

/* ---- The same for a poll group --------------------------------------------------------------- */

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t now)
{
    return pv_netback_queue_pump((struct pv_netback_queue *)pollable, budget, now);
}

static bool arm(struct pv_pollable *pollable)
{
    return pv_netback_queue_arm((struct pv_netback_queue *)pollable);
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    return pv_netback_queue_deadline((struct pv_netback_queue *)pollable);
}

const struct pv_pollable_ops netback_pollable_ops = {
    .pump = pump, .arm = arm, .deadline = deadline};
