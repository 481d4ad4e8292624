/* The switch and its ports: how they come and go. */
#include "backends/uplinks/switch.h"

#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>

/* Not the default, with which writers wait until no sender reads. */
static void init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

struct pv_switch *pv_switch_create(const struct pv_switch_config *config)
{
    struct pv_switch *sw = calloc(1, sizeof *sw);
    if (!sw)
        return NULL;
    int status = mac_table_init(&sw->table);
    if (status < 0) {
        free(sw);
        errno = -status;
        return NULL;
    }
    sw->pool = config->pool;
    sw->ageing_ns = config->ageing_ns;
    init_lock(&sw->lock);
    return sw;
}

void pv_switch_destroy(struct pv_switch *sw)
{
    if (!sw)
        return;
    assert(sw->count == 0);
    mac_table_destroy(&sw->table);
    pthread_rwlock_destroy(&sw->lock);
    free(sw->ports);
    free(sw);
}

static uint32_t macs_of(const struct switch_port *port)
{
    uint32_t known = port->max_macs;
    for (const struct mac_entry *entry = port->unused; entry; entry = entry->next)
        known--;
    return known;
}

void pv_switch_get_stats(struct pv_switch *sw, struct pv_switch_stats *stats)
{
    pthread_rwlock_rdlock(&sw->lock);
    *stats = (struct pv_switch_stats){.ports = sw->count,
                                      .moved = sw->moved,
                                      .refused = pv_read_once_64(&sw->refused),
                                      .flooded = pv_read_once_64(&sw->flooded)};
    for (uint32_t i = 0; i < sw->count; i++)
        stats->macs += macs_of(sw->ports[i]);
    pthread_rwlock_unlock(&sw->lock);
}

static int set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct switch_port *port = (struct switch_port *)uplink;
    pthread_rwlock_wrlock(&port->sw->lock);
    port->carrier = queues < uplink->queues ? queues : uplink->queues;
    if (queues == 0)
        switch_forget_all(port);
    pthread_rwlock_unlock(&port->sw->lock);
    return 0;
}

/* Under the lock. */
static int add_port(struct pv_switch *sw, struct switch_port *port)
{
    if (sw->count == sw->room) {
        uint32_t room = sw->room ? 2 * sw->room : 8;
        struct switch_port **ports = realloc(sw->ports, room * sizeof ports[0]);
        if (!ports)
            return -ENOMEM;
        sw->ports = ports;
        sw->room = room;
    }
    int status = mac_table_reserve(&sw->table, sw->macs + port->max_macs);
    if (status < 0)
        return status;
    sw->macs += port->max_macs;
    sw->ports[sw->count++] = port;
    return 0;
}

static void remove_port(struct pv_switch *sw, struct switch_port *port)
{
    uint32_t i = 0;
    while (sw->ports[i] != port)
        i++;
    sw->ports[i] = sw->ports[--sw->count];
    sw->macs -= port->max_macs;
    switch_forget_all(port);
}

static void close_port(struct pv_uplink *uplink)
{
    struct switch_port *port = (struct switch_port *)uplink;
    pthread_rwlock_wrlock(&port->sw->lock);
    remove_port(port->sw, port);
    pthread_rwlock_unlock(&port->sw->lock);
    queued_uplink_destroy(&port->queued);
    free(port->macs);
    free(port);
}

static const struct pv_uplink_ops port_ops = {.name = "switch",
                                              .send = switch_send,
                                              .receive = queued_uplink_receive,
                                              .arm = queued_uplink_arm,
                                              .fd = queued_uplink_fd,
                                              .set_carrier = set_carrier,
                                              .purge = queued_uplink_purge,
                                              .get_stats = queued_uplink_get_stats,
                                              .close = close_port};

static int init_port(struct switch_port *port, struct pv_switch *sw,
                     const struct pv_switch_port_config *config)
{
    port->sw = sw;
    port->isolated = config->isolated;
    port->max_macs = config->macs;
    port->macs = calloc(config->macs, sizeof port->macs[0]);
    if (!port->macs)
        return -ENOMEM;
    for (uint32_t i = config->macs; i-- > 0;) {
        port->macs[i].next = port->unused;
        port->unused = &port->macs[i];
    }
    int status =
        queued_uplink_init(&port->queued, &port_ops, sw->pool, config->queues, config->waiting);
    if (status < 0)
        return status;
    port->queued.uplink.tx_offloads = (struct pv_uplink_offloads){true, true, true, true};
    pthread_rwlock_wrlock(&sw->lock);
    status = add_port(sw, port);
    pthread_rwlock_unlock(&sw->lock);
    if (status < 0)
        queued_uplink_destroy(&port->queued);
    return status;
}

struct pv_uplink *pv_switch_port_create(struct pv_switch *sw,
                                        const struct pv_switch_port_config *config)
{
    if (config->macs == 0 || config->macs > PV_SWITCH_MAX_PORT_MACS || config->waiting == 0 ||
        config->waiting > PV_UPLINK_MAX_WAITING_PACKETS) {
        errno = EINVAL;
        return NULL;
    }
    struct switch_port *port = calloc(1, sizeof *port);
    if (!port)
        return NULL;
    int status = init_port(port, sw, config);
    if (status < 0) {
        free(port->macs);
        free(port);
        errno = -status;
        return NULL;
    }
    return &port->queued.uplink;
}
