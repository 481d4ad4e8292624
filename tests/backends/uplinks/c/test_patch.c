/* A patch from a switch to a hairpin, which gives back what a guest of the switch sends to all. */
#include "tests/backends/uplinks/c/uplink_test.h"

#include "pvdrivers/backends/uplinks/switch.h"

#define PACKETS 5000u

int main(void)
{
    struct pv_packet_pool *pool = pv_packet_pool_create();
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    struct pv_switch *sw = pv_switch_create(
        &(struct pv_switch_config){.pool = pool, .ageing_ns = PV_SWITCH_AGEING_NS});
    static const struct pv_switch_port_config config = {.queues = 1, .macs = 8, .waiting = 64};
    struct pv_uplink *port = pv_switch_port_create(sw, &config);
    port->ops->set_carrier(port, 1);
    struct pv_uplink_patch *patch = pv_uplink_patch_create(pv_switch_port_create(sw, &config),
                                                           pv_hairpin_uplink_create(pool, 1));
    assert(patch);

    uint32_t received = 0, last = 0;
    for (uint32_t i = 1; i <= PACKETS; i++) {
        send_one(port, 0, cache, make_frame(cache, 1, 255, i, 60), 0);
        struct pv_packet *packets[8];
        uint32_t count = port->ops->receive(port, 0, cache, packets, 8, 0);
        while (count == 0 && received == 0) { /* at least the first comes back */
            struct pollfd polled = {.fd = port->ops->fd(port, 0), .events = POLLIN};
            if (!port->ops->arm(port, 0))
                poll(&polled, 1, -1);
            count = port->ops->receive(port, 0, cache, packets, 8, 0);
        }
        for (uint32_t j = 0; j < count; j++) {
            assert(number_of(packets[j]) > last);
            last = number_of(packets[j]);
        }
        received += count;
        pv_packet_release(cache, packets, count);
    }
    assert(received > 0);
    pv_uplink_patch_destroy(patch); /* with packets on their way */
    port->ops->close(port);
    pv_switch_destroy(sw);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
