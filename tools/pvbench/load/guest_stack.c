/* What the ring has no room for waits here, a batch at most, and is followed by no other: the
 * kernel's own queue fills, and it holds its senders back. */
#include "tools/pvbench/load/guest_stack.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH 64u

struct pv_guest_stack {
    struct pv_pollable pollable; /* first */
    struct pv_guest_stack_config config;
    struct pv_packet_cache *cache;
    struct pv_packet *waiting[BATCH]; /* from the uplink to the ring */
    uint32_t first, count;
    uint64_t refused;
};

static int receive(struct pv_guest_stack *stack, uint32_t budget, uint64_t now)
{
    struct pv_uplink *uplink = stack->config.uplink;
    struct pv_packet *packets[BATCH];
    int count = pv_netfront_receive(stack->config.front, packets, budget < BATCH ? budget : BATCH);
    if (count > 0)
        uplink->ops->send(uplink, stack->config.queue, stack->cache, packets, (uint32_t)count, now);
    return count;
}

/* How many packets are on the ring, or dropped, or a negative errno. */
static int put_on_ring(struct pv_guest_stack *stack)
{
    struct pv_packet **packets = stack->waiting + stack->first;
    int sent = pv_netfront_send(stack->config.front, packets, stack->count);
    if (sent == -EINVAL) /* because of one of them: those before it go */
        sent = pv_netfront_send(stack->config.front, packets, 1);
    if (sent == -EINVAL) {
        pv_add_counter(&stack->refused, 1);
        sent = 1;
    }
    if (sent <= 0)
        return sent;
    pv_packet_release(stack->cache, packets, (uint32_t)sent);
    stack->first += (uint32_t)sent;
    stack->count -= (uint32_t)sent;
    return sent;
}

static int transmit(struct pv_guest_stack *stack, uint32_t budget, uint64_t now)
{
    struct pv_uplink *uplink = stack->config.uplink;
    uint32_t room = stack->count > 0 ? 0 : budget < BATCH ? budget : BATCH;
    uint32_t taken =
        uplink->ops->receive(uplink, stack->config.queue, stack->cache, stack->waiting, room, now);
    if (taken > 0) {
        stack->first = 0;
        stack->count = taken;
    }
    return stack->count > 0 ? put_on_ring(stack) : 0;
}

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t now)
{
    struct pv_guest_stack *stack = (struct pv_guest_stack *)pollable;
    int received = receive(stack, budget, now);
    if (received < 0)
        return received;
    int sent = transmit(stack, budget, now);
    return sent < 0 ? sent : received + sent;
}

static bool arm(struct pv_pollable *pollable)
{
    struct pv_guest_stack *stack = (struct pv_guest_stack *)pollable;
    struct pv_uplink *uplink = stack->config.uplink;
    pv_packet_cache_flush(stack->cache);
    if (pv_netfront_arm(stack->config.front, stack->count > 0))
        return true;
    return stack->count == 0 && uplink->ops->arm && uplink->ops->arm(uplink, stack->config.queue);
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    struct pv_guest_stack *stack = (struct pv_guest_stack *)pollable;
    struct pv_uplink *uplink = stack->config.uplink;
    return uplink->ops->deadline ? uplink->ops->deadline(uplink, stack->config.queue) : UINT64_MAX;
}

static const struct pv_pollable_ops ops = {.pump = pump, .arm = arm, .deadline = deadline};

struct pv_guest_stack *pv_guest_stack_create(const struct pv_guest_stack_config *config)
{
    struct pv_guest_stack *stack = calloc(1, sizeof *stack);
    if (!stack)
        return NULL;
    struct pv_netfront_queue *front = config->front;
    evtchn_port_t tx = pv_netfront_tx_port(front), rx = pv_netfront_rx_port(front);
    stack->config = *config;
    stack->pollable = (struct pv_pollable){
        .ops = &ops,
        .hypervisor = config->hypervisor,
        .evtchn = config->evtchn,
        .port = tx,
        .second_port = rx == tx ? 0 : rx,
        .fd = config->uplink->ops->fd(config->uplink, config->queue),
    };
    stack->cache = pv_packet_cache_create(config->pool);
    if (!stack->cache) {
        free(stack);
        return NULL;
    }
    return stack;
}

struct pv_pollable *pv_guest_stack_pollable(struct pv_guest_stack *stack)
{
    return &stack->pollable;
}

uint64_t pv_guest_stack_refused(const struct pv_guest_stack *stack)
{
    return pv_read_counter(&stack->refused);
}

void pv_guest_stack_destroy(struct pv_guest_stack *stack)
{
    if (!stack)
        return;
    pv_packet_release(stack->cache, stack->waiting + stack->first, stack->count);
    pv_packet_cache_destroy(stack->cache);
    free(stack);
}
