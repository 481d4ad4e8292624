/* A network backend between a guest that writes any bytes to its rings and an uplink that gives it
 * packets: no memory is touched that should not be, every packet goes back to its pool, and what is
 * answered makes sense. Input: features and offloads (2 bytes), then steps: a byte that says what
 * to do, and what it needs. */
#define GUEST_PAGES 320 /* little to clear for each input */
#include "tests/backends/vnif/c/loopback.h"
#include "tests/fuzz/input.h"

#define MAX_STEPS 2000

static uint16_t take_16(struct input *input)
{
    uint16_t value;
    take(input, &value, sizeof value);
    return value;
}

static void connect(struct loopback *loop, struct input *input)
{
    uint16_t bits = take_16(input);
    loopback_init(loop, bits & 1 ? PV_ABI_IA64 : PV_ABI_X86_64);
    struct pv_netback_vif_config *config = &loop->config;
    config->sg = bits & 2;
    config->gso_tcpv4 = bits & 4, config->gso_tcpv6 = bits & 8;
    config->csum_ipv4 = bits & 16, config->csum_ipv6 = bits & 32;
    config->rx_notify = bits & 64;
    config->multicast_control = bits & 128;
    loop->split = bits & 256;
    config->xdp_headroom = bits & 512 ? 256 : 0;
    config->rate_bytes = bits & 1024 ? 5000 : 0;
    config->rate_usec = 1000;
    config->rx_drain_ns = 10000000, config->rx_stall_ns = 60000000;
    struct pv_uplink_offloads *offloads = &loop->uplink.uplink.tx_offloads;
    offloads->csum_ipv4 = bits & 2048, offloads->csum_ipv6 = bits & 4096;
    offloads->gso_tcpv4 = bits & 8192, offloads->gso_tcpv6 = bits & 16384;
    loop->uplink.uplink.no_data = bits & 32768;
    loopback_connect(loop);
}

static void queue_packet(struct loopback *loop, struct input *input)
{
    uint16_t length = take_16(input), bits = take_16(input);
    if (loop->uplink.queued_count == UPLINK_PACKETS)
        return;
    struct pv_packet *packet = uplink_queue(loop, length > 0 ? length : 1);
    if (bits & 1 && length >= 60)
        write_frame(packet->data, length, bits & 2 ? 6 : 17);
    else
        take(input, packet->data, length < 60 ? length : 60);
    packet->csum_blank = bits & 4;
    packet->gso_type = bits & 8 ? (uint8_t)(bits >> 4) % 3 : 0;
    packet->gso_size = packet->gso_type ? (uint16_t)((bits >> 6) + 1) : 0;
}

static void look_at_answers(struct loopback *loop)
{
    struct front *front = &loop->front[0];
    while (pv_front_unconsumed_responses(&front->tx) > 0) {
        int16_t status = tx_take(loop).status;
        assert(status == NETIF_RSP_OKAY || status == NETIF_RSP_ERROR || status == NETIF_RSP_NULL);
    }
    while (pv_front_unconsumed_responses(&front->rx) > 0) {
        struct netif_rx_response response = rx_take(loop, 0);
        uint32_t extras = response.flags & NETRXF_extra_info;
        assert(response.status >= NETIF_RSP_ERROR);
        assert(response.offset + response.status <= (int)loop->page_size);
        for (bool more = extras; more;)
            more = rx_take_extra(loop).flags & XEN_NETIF_EXTRA_FLAG_MORE;
    }
}

static void step(struct loopback *loop, struct input *input)
{
    uint8_t what, slot[12];
    take(input, &what, 1);
    switch (what % 8) {
    case 0: /* one slot of any content */
        take(input, slot, sizeof slot);
        tx_put(loop, slot);
        break;
    case 1: /* one whose page is right */
        tx_put_request(loop, DATA + what, take_16(input) % 2048, take_16(input) % 2048,
                       take_16(input) & 15);
        break;
    case 2:
        rx_post(loop, 0, what / 8);
        break;
    case 3:
        queue_packet(loop, input);
        break;
    case 4:
        loop->now += (uint64_t)take_16(input) * 1000;
        loopback_pump(loop);
        look_at_answers(loop);
        break;
    case 5:
        pv_netback_queue_arm(loop->back[0]);
        pv_netback_queue_deadline(loop->back[0]);
        break;
    case 6: /* a page's bytes, as of a frame */
        take(input, loopback_page(loop, DATA + what), 64);
        break;
    case 7: /* more than there is, or less */
        loop->front[0].tx.req_prod_pvt += (uint32_t)(what >> 3) - 16;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loopback loop;
    struct input input = {data, size};
    connect(&loop, &input);
    for (int i = 0; i < MAX_STEPS && input.left > 0; i++)
        step(&loop, &input);
    loopback_pump(&loop);
    loopback_close(&loop);
    return 0;
}
