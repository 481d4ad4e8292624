/* Creates and ends a queue. */
#include "backends/reserve.h"
#include "backends/vnif/netback_private.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool config_valid(const struct pv_netback_vif *vif,
                         const struct pv_netback_queue_config *config)
{
    size_t size = pv_netback_log_size(vif->config.abi, config->index);
    return config->index < vif->config.queues &&
           netback_log_fits(config->log, config->log_size, size);
}

static void init_from_config(struct pv_netback_queue *queue, struct pv_netback_vif *vif,
                             const struct pv_netback_queue_config *config)
{
    struct pv_hypervisor *hypervisor = vif->config.hypervisor;
    queue->pollable = (struct pv_pollable){
        .ops = &netback_pollable_ops, .hypervisor = hypervisor, .evtchn = config->evtchn, .fd = -1};
    queue->vif = vif;
    queue->uplink = vif->config.uplink;
    queue->index = config->index;
    queue->uplink_queue = config->index % queue->uplink->queues;
    queue->receives = config->index == queue->uplink_queue;
    if (vif->config.queues > queue->uplink->queues)
        queue->uplink_lock = &vif->places[queue->uplink_queue].uplink_lock;
    queue->copies.hypervisor = hypervisor;
    queue->copies.domid = vif->config.frontend;
    queue->tx.credit.deadline = UINT64_MAX;
    queue->eventfd = -1;
    queue->fault_fd = config->fault_fd;
}

static int map_rings(struct pv_netback_queue *queue, const struct pv_netback_queue_config *config)
{
    int status = netback_map_ring(queue->vif, config->tx_ring_ref,
                                  sizeof(union netif_tx_sring_entry), &queue->tx.ring);
    if (status == 0)
        status = netback_map_ring(queue->vif, config->rx_ring_ref,
                                  sizeof(union netif_rx_sring_entry), &queue->rx.ring);
    return status;
}

/* What a batch of tx needs. */
static size_t batch_size(const struct netback_tx *tx)
{
    return NETBACK_BATCH * (sizeof tx->taken[0] + sizeof tx->sent[0]) +
           tx->ring.nr_ents * sizeof tx->slots[0];
}

static bool make_batch(struct netback_tx *tx)
{
    tx->taken = reserve(batch_size(tx));
    if (!tx->taken)
        return false;
    tx->sent = (struct pv_packet **)(tx->taken + NETBACK_BATCH);
    tx->slots = (union netif_tx_sring_entry *)(tx->sent + NETBACK_BATCH);
    return true;
}

static int make_memory(struct pv_netback_queue *queue, const struct pv_netback_queue_config *config)
{
    queue->log_size = pv_netback_log_size(queue->vif->config.abi, queue->index);
    if (!config->log)
        queue->own_log = reserve(queue->log_size);
    queue->copies.staged = reserve(sizeof *queue->copies.staged);
    queue->cache = pv_packet_cache_create(queue->uplink->pool);
    if ((!config->log && !queue->own_log) || !make_batch(&queue->tx) || !queue->copies.staged ||
        !queue->cache)
        return -ENOMEM;
    netback_place_logs(queue, config->log ? config->log : queue->own_log);
    return 0;
}

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Readable when another queue has packets for this one, or the uplink has. */
static int make_fds(struct pv_netback_queue *queue)
{
    int uplink_fd =
        queue->receives ? queue->uplink->ops->fd(queue->uplink, queue->uplink_queue) : -1;
    int *fd = &queue->pollable.fd;
    *fd = queue->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (*fd < 0 || uplink_fd < 0)
        return *fd < 0 ? -errno : 0;
    *fd = epoll_create1(EPOLL_CLOEXEC);
    if (*fd < 0 || watch(*fd, queue->eventfd) < 0 || watch(*fd, uplink_fd) < 0)
        return -errno;
    queue->watching = true;
    return 0;
}

static int bind_port(struct pv_netback_queue *queue, evtchn_port_t remote, bool *bound)
{
    const struct pv_pollable *own = &queue->pollable;
    int port = own->hypervisor->ops->evtchn_bind_interdomain(own->evtchn,
                                                             queue->vif->config.frontend, remote);
    *bound = port >= 0;
    return port;
}

static int bind_ports(struct pv_netback_queue *queue, const struct pv_netback_queue_config *config)
{
    int port = bind_port(queue, config->tx_port, &queue->bound_tx);
    if (port < 0)
        return port;
    queue->pollable.port = (evtchn_port_t)port;
    if (config->rx_port == config->tx_port)
        return 0;
    port = bind_port(queue, config->rx_port, &queue->bound_rx);
    if (port < 0)
        return port;
    queue->pollable.second_port = (evtchn_port_t)port;
    return 0;
}

static int build(struct pv_netback_queue *queue, const struct pv_netback_queue_config *config)
{
    int status = map_rings(queue, config);
    if (status == 0)
        status = make_memory(queue, config);
    if (status == 0)
        status = make_fds(queue);
    if (status == 0)
        status = bind_ports(queue, config);
    if (status == 0)
        status = netback_mailbox_open(&queue->vif->places[queue->index].mailbox, queue->eventfd);
    if (status < 0)
        return status;
    queue->posted = true;
    return netback_attach_logs(queue, config); /* last: from here on it answers */
}

struct pv_netback_queue *pv_netback_queue_create(struct pv_netback_vif *vif,
                                                 const struct pv_netback_queue_config *config)
{
    if (!config_valid(vif, config) || !config->evtchn) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_netback_queue *queue = reserve(sizeof *queue);
    if (!queue)
        return NULL;
    init_from_config(queue, vif, config);
    int status = build(queue, config);
    if (status < 0) {
        pv_netback_queue_destroy(queue);
        errno = -status;
        return NULL;
    }
    return queue;
}

int pv_netback_queue_resumable(struct pv_netback_vif *vif,
                               const struct pv_netback_queue_config *config)
{
    if (!config_valid(vif, config))
        return -EINVAL;
    struct pv_netback_queue *queue = reserve(sizeof *queue);
    if (!queue)
        return -ENOMEM;
    init_from_config(queue, vif, config);
    int status = map_rings(queue, config);
    if (config->log)
        netback_place_logs(queue, config->log);
    if (status == 0 && config->log && pv_response_log_has_begun(queue->tx.log))
        status = netback_check_logs(queue, config);
    else if (status == 0 && (pv_back_unconsumed_requests(&queue->tx.ring) != 0 ||
                             pv_back_unconsumed_requests(&queue->rx.ring) != 0))
        status = -EBUSY;
    pv_netback_queue_destroy(queue);
    return status;
}

static void disconnect(struct pv_netback_queue *queue)
{
    const struct pv_pollable *own = &queue->pollable;
    if (queue->bound_tx)
        own->hypervisor->ops->evtchn_unbind(own->evtchn, own->port);
    if (queue->bound_rx)
        own->hypervisor->ops->evtchn_unbind(own->evtchn, own->second_port);
    netback_unmap_ring(queue->vif, &queue->tx.ring);
    netback_unmap_ring(queue->vif, &queue->rx.ring);
}

void pv_netback_queue_destroy(struct pv_netback_queue *queue)
{
    if (!queue)
        return;
    if (queue->posted)
        netback_mailbox_close(&queue->vif->places[queue->index].mailbox);
    if (queue->posted && queue->saved)
        netback_saved_detach(queue->vif);
    netback_rx_forget(queue);
    if (queue->tx.taken)
        munmap(queue->tx.taken, batch_size(&queue->tx));
    disconnect(queue);
    if (queue->pollable.fd >= 0)
        close(queue->pollable.fd);
    if (queue->eventfd >= 0 && queue->eventfd != queue->pollable.fd)
        close(queue->eventfd);
    pv_packet_cache_destroy(queue->cache);
    if (queue->copies.staged)
        munmap(queue->copies.staged, sizeof *queue->copies.staged);
    if (queue->own_log)
        munmap(queue->own_log, queue->log_size);
    munmap(queue, sizeof *queue);
}

void pv_netback_queue_stop(struct pv_netback_queue *queue)
{
    queue->stopped = true;
}

struct pv_pollable *pv_netback_queue_pollable(struct pv_netback_queue *queue)
{
    return &queue->pollable;
}

evtchn_port_t pv_netback_queue_port(const struct pv_netback_queue *queue)
{
    return queue->pollable.port;
}

evtchn_port_t pv_netback_queue_rx_port(const struct pv_netback_queue *queue)
{
    return queue->pollable.second_port ? queue->pollable.second_port : queue->pollable.port;
}

bool pv_netback_queue_broken(const struct pv_netback_queue *queue)
{
    return queue->broken;
}

void pv_netback_queue_get_stats(const struct pv_netback_queue *queue,
                                struct pv_netback_stats *stats)
{
    /* Another thread may be pumping the queue, and counting, at this moment. */
    pv_read_counters(&queue->stats, stats, sizeof *stats);
    stats->grant_copies = pv_read_counter(&queue->copies.copies);
    stats->grant_copy_calls = pv_read_counter(&queue->copies.calls);
    stats->bytes_copied += pv_read_counter(&queue->copies.bytes);
}

static const char *state(const struct pv_netback_queue *queue)
{
    if (queue->broken)
        return "broken";
    if (queue->rx.stalled)
        return "stalled";
    return queue->stopped ? "stopped" : "running";
}

int pv_netback_queue_describe(const struct pv_netback_queue *queue, char *line, size_t size)
{
    const struct pv_netback_stats *stats = &queue->stats;
    uint64_t errors = 0;
    for (int i = 0; i < PV_NETBACK_ERROR_COUNT; i++)
        errors += stats->errors[i];
    return snprintf(line, size,
                    "netback for domain %u queue %u port %u: %s, uplink %s, %llu tx packets, "
                    "%llu rx packets, %u waiting, %llu errors, %llu notifications",
                    queue->vif->config.frontend, queue->index, queue->pollable.port, state(queue),
                    queue->uplink->ops->name, (unsigned long long)stats->tx_packets,
                    (unsigned long long)stats->rx_packets, netback_rx_backlog(&queue->rx),
                    (unsigned long long)errors, (unsigned long long)stats->notifications_sent);
}
