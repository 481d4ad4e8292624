/*
 * How a port's packets go to others. A batch is looked up as a whole, and then each receiving queue
 * is locked once, for all that it gets: the lookups cost nanoseconds, the locks' cache lines a
 * multiple of that.
 */
#include "backends/uplinks/switch.h"
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/vnif/hash.h"

#include <net/ethernet.h>
#include <string.h>

#define BATCH 64u /* bits of a mask */

struct batch {
    struct switch_port *from;
    struct pv_packet_cache *cache;
    struct pv_packet **packets;
    uint32_t count;
    uint64_t now;
    uint64_t valid;  /* a bit for each packet, here and below: it is a frame that may pass */
    uint64_t known;  /* it goes to `to` */
    uint64_t flood;  /* it goes to all ports */
    uint64_t given;  /* it is not the batch's any more */
    uint64_t passed; /* somebody has taken it */
    uint64_t hashed; /* its `hash` is known */
    uint64_t source[BATCH], destination[BATCH];
    uint32_t length[BATCH]; /* a packet that has passed is not ours to look at */
    uint32_t hash[BATCH];
    struct packet_queue *to[BATCH];
    uint32_t refused;
    struct pv_packet *left[BATCH]; /* what nobody has taken */
    uint32_t left_count;
};

#define ADDRESS_BITS 48
#define ADDRESS_MASK ((1ull << ADDRESS_BITS) - 1)

static uint64_t address_at(const uint8_t *bytes)
{
    uint64_t address;
    memcpy(&address, bytes, sizeof address);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    address >>= 16;
#endif
    return address & ADDRESS_MASK;
}

/* The frame's VLAN; 0: none, or a tag that has a priority alone. */
static uint64_t vlan_of(const struct pv_packet *packet)
{
    const uint8_t *type = packet->data + 2 * ETH_ALEN;
    unsigned ethertype = (unsigned)type[0] << 8 | type[1];
    if ((ethertype != ETHERTYPE_VLAN && ethertype != 0x88a8) || packet->length < 18)
        return 0;
    return (uint64_t)(type[2] & 0xf) << 8 | type[3];
}

/* 01-80-C2-00-00-00 to -0F end at each bridge (IEEE 802.1Q, 8.6.3). */
static bool is_reserved(const uint8_t *address)
{
    static const uint8_t prefix[] = {0x01, 0x80, 0xc2, 0, 0};
    return memcmp(address, prefix, sizeof prefix) == 0 && address[5] < 16;
}

static bool is_group(const uint8_t *address)
{
    return address[0] & 1;
}

static void parse(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pv_packet *packet = batch->packets[i];
        const uint8_t *destination = packet->data, *source = packet->data + ETH_ALEN;
        batch->length[i] = packet->length;
        if (packet->length < PV_PACKET_MIN_LENGTH)
            continue;
        uint64_t vlan = vlan_of(packet) << ADDRESS_BITS, from = address_at(source);
        if (from == 0 || is_group(source) || is_reserved(destination))
            continue;
        batch->source[i] = from | vlan;
        batch->destination[i] = address_at(destination) | vlan;
        batch->valid |= 1ull << i;
        if (is_group(destination))
            batch->flood |= 1ull << i;
    }
}

/* Takes the lowest bit out of a mask that is not 0. */
static uint32_t next_bit(uint64_t *mask)
{
    uint32_t bit = (uint32_t)__builtin_ctzll(*mask);
    *mask &= *mask - 1;
    return bit;
}

/* Under the lock, for reading; holds it again when it returns. */
static void learn_sources(struct batch *batch)
{
    uint64_t left = batch->valid, unknown = 0, last = 0;
    while (left) {
        uint32_t i = next_bit(&left);
        if (batch->source[i] == last) /* most guests have one address */
            continue;
        last = batch->source[i];
        if (switch_must_learn(batch->from, last, batch->now, &batch->refused))
            unknown |= 1ull << i;
    }
    if (!unknown)
        return;
    pthread_rwlock_t *lock = &batch->from->sw->lock;
    pthread_rwlock_unlock(lock);
    pthread_rwlock_wrlock(lock);
    while (unknown)
        switch_learn(batch->from, batch->source[next_bit(&unknown)], batch->now);
    pthread_rwlock_unlock(lock);
    pthread_rwlock_rdlock(lock);
}

static bool may_pass(const struct switch_port *from, const struct switch_port *to)
{
    return from != to && to->carrier > 0 && !(from->isolated && to->isolated);
}

/* The same for all packets of a flow. */
static uint32_t choose_queue(struct batch *batch, uint32_t i, const struct switch_port *to)
{
    if (to->carrier == 1)
        return 0;
    if (!(batch->hashed & 1ull << i)) {
        batch->hash[i] = pv_packet_flow_hash(batch->packets[i]);
        batch->hashed |= 1ull << i;
    }
    return batch->hash[i] % to->carrier;
}

static void look_up(struct batch *batch)
{
    uint64_t left = batch->valid & ~batch->flood, last = 0;
    struct switch_port *to = NULL;
    while (left) {
        uint32_t i = next_bit(&left);
        if (batch->destination[i] != last) {
            last = batch->destination[i];
            to = switch_find(batch->from->sw, last, batch->now);
        }
        if (!to) {
            batch->flood |= 1ull << i;
        } else if (may_pass(batch->from, to)) {
            batch->to[i] = &to->queued.queues[choose_queue(batch, i, to)].waiting;
            batch->known |= 1ull << i;
        }
    }
}

static void leave(struct batch *batch, struct pv_packet *packet)
{
    if (batch->left_count == BATCH) {
        pv_packet_release(batch->cache, batch->left, BATCH);
        batch->left_count = 0;
    }
    batch->left[batch->left_count++] = packet;
}

/* Gives a queue all that it gets of the batch, in order. */
static void give(struct batch *batch, struct packet_queue *queue, uint64_t mask)
{
    batch->given |= mask;
    struct pv_packet *packets[BATCH];
    uint8_t index[BATCH];
    uint32_t count = 0;
    while (mask) {
        index[count] = (uint8_t)next_bit(&mask);
        packets[count] = batch->packets[index[count]];
        count++;
    }
    if (count == 0)
        return;
    uint32_t taken = packet_queue_push(queue, packets, count);
    for (uint32_t i = 0; i < taken; i++)
        batch->passed |= 1ull << index[i];
    for (uint32_t i = taken; i < count; i++)
        leave(batch, packets[i]);
}

/* Takes out of `known` what is for the queue. */
static uint64_t take_known(struct batch *batch, const struct packet_queue *queue)
{
    uint64_t left = batch->known, mask = 0;
    while (left) {
        uint32_t i = next_bit(&left);
        if (batch->to[i] == queue)
            mask |= 1ull << i;
    }
    batch->known &= ~mask;
    return mask;
}

static void flood_port(struct batch *batch, struct switch_port *to)
{
    uint64_t masks[PV_UPLINK_MAX_QUEUES] = {0}, left = batch->flood;
    while (left) {
        uint32_t i = next_bit(&left);
        masks[choose_queue(batch, i, to)] |= 1ull << i;
    }
    for (uint32_t i = 0; i < to->carrier; i++) {
        struct packet_queue *queue = &to->queued.queues[i].waiting;
        give(batch, queue, masks[i] | take_known(batch, queue));
    }
}

/* What is known to be for a port that gets flooded packets too comes in the order it was sent. */
static void flood(struct batch *batch)
{
    struct pv_switch *sw = batch->from->sw;
    uint32_t ports = 0;
    for (uint32_t i = 0; i < sw->count; i++)
        ports += may_pass(batch->from, sw->ports[i]);
    if (ports == 0)
        return;
    for (uint64_t left = batch->flood; ports > 1 && left;)
        pv_packet_hold(batch->packets[next_bit(&left)], ports - 1);
    for (uint32_t i = 0; i < sw->count; i++)
        if (may_pass(batch->from, sw->ports[i]))
            flood_port(batch, sw->ports[i]);
    pv_fetch_add_64(&sw->flooded, (uint64_t)__builtin_popcountll(batch->flood));
}

static void forward(struct batch *batch)
{
    struct pv_switch *sw = batch->from->sw;
    pthread_rwlock_rdlock(&sw->lock);
    learn_sources(batch);
    look_up(batch);
    if (batch->flood)
        flood(batch);
    while (batch->known) {
        struct packet_queue *queue = batch->to[__builtin_ctzll(batch->known)];
        give(batch, queue, take_known(batch, queue));
    }
    pthread_rwlock_unlock(&sw->lock);
    if (batch->refused)
        pv_fetch_add_64(&sw->refused, batch->refused);
}

/* Drops what has no receiver. */
static void finish(struct batch *batch, struct uplink_queue *counters)
{
    uint64_t all = batch->count == BATCH ? UINT64_MAX : (1ull << batch->count) - 1;
    for (uint64_t left = all & ~batch->given; left;)
        leave(batch, batch->packets[next_bit(&left)]);
    pv_packet_release(batch->cache, batch->left, batch->left_count);
    uint64_t bytes = 0;
    for (uint64_t left = batch->passed; left;)
        bytes += batch->length[next_bit(&left)];
    uint32_t passed = (uint32_t)__builtin_popcountll(batch->passed);
    pv_add_counter(&counters->tx_packets, passed);
    pv_add_counter(&counters->tx_bytes, bytes);
    pv_add_counter(&counters->tx_dropped, batch->count - passed);
}

void switch_send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct switch_port *port = (struct switch_port *)uplink;
    for (uint32_t sent = 0; sent < count; sent += BATCH) {
        struct batch batch;
        batch.from = port;
        batch.cache = cache;
        batch.packets = packets + sent;
        batch.count = count - sent < BATCH ? count - sent : BATCH;
        batch.now = now;
        batch.valid = batch.known = batch.flood = batch.given = batch.passed = batch.hashed = 0;
        batch.refused = batch.left_count = 0;
        parse(&batch);
        if (batch.valid)
            forward(&batch);
        finish(&batch, &port->queued.queues[queue]);
    }
}
