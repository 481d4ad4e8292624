/* A network frontend's queue from its creation to its end. */
#include "frontends/vnif/c/fake_netback.h"

static void test_ports(void)
{
    struct fake_netback *netback = netback_create(PV_ABI_X86_64, (struct pv_netfront_config){0});
    assert(pv_netfront_tx_port(netback->queue) == FAKE_FIRST_PORT);
    assert(pv_netfront_rx_port(netback->queue) == FAKE_FIRST_PORT);
    netback_destroy(netback, 0);

    struct pv_netfront_config config = {.split_event_channels = true};
    netback = netback_create(PV_ABI_X86_64, config);
    assert(pv_netfront_tx_port(netback->queue) == FAKE_FIRST_PORT);
    assert(pv_netfront_rx_port(netback->queue) == FAKE_FIRST_PORT + 1);
    assert(pv_netfront_connect(netback->queue, &all_features) == 0);
    assert(send_and_release(netback, make_packet(netback, 60, 1)) == 1);
    assert(netback->guest.notified_port[0] == 1 && netback->guest.notified_port[1] == 0);
    netback->rx.req_cons = netback->rx.rsp_prod_pvt = 0;
    for (uint32_t i = 0; i < 256; i++)
        put_fragment(netback, i, 0, 60, 0, 0);
    assert(!pv_back_final_check(&netback->rx)); /* it waits for buffers */
    push_rx(netback);
    struct pv_packet *packets[256];
    assert(pv_netfront_receive(netback->queue, packets, 256) == 256);
    assert(netback->guest.notified_port[0] == 1 && netback->guest.notified_port[1] == 1);
    pv_packet_release(netback->cache, packets, 256);
    netback_destroy(netback, 0);
}

static void test_before_and_after_the_connection(void)
{
    struct fake_netback *netback = netback_create(PV_ABI_X86_64, (struct pv_netfront_config){0});
    struct pv_packet *packet = make_packet(netback, 60, 1), *received;
    grant_ref_t tx_ref = pv_netfront_tx_ring_ref(netback->queue);
    assert(pv_netfront_send(netback->queue, &packet, 1) == -ENOTCONN);
    assert(pv_netfront_receive(netback->queue, &received, 1) == -ENOTCONN);
    put_fragment(netback, 1, 0, 60, 0, 0); /* the backend may be the first to be ready */
    push_rx(netback);
    assert(pv_netfront_connect(netback->queue, &all_features) == 0);
    assert(pv_netfront_connect(netback->queue, &all_features) == -EINVAL);
    expect_packet(netback, 60, 1);
    assert(pv_netfront_send(netback->queue, &packet, 1) == 1);
    pv_netfront_disconnect(netback->queue);
    pv_netfront_disconnect(netback->queue);
    assert(netback->guest.granted == 0 && netback->guest.pages == 0);
    assert(pv_netfront_send(netback->queue, &packet, 1) == -ENOTCONN);
    assert(pv_netfront_receive(netback->queue, &received, 1) == -ENOTCONN);
    assert(pv_netfront_room(netback->queue) == 0 && pv_netfront_arm(netback->queue, true));
    assert(pv_netfront_tx_ring_ref(netback->queue) == tx_ref);
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(stats.grants_made == 514 && stats.grants_ended == 514 && stats.grants_leaked == 0);
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* XSA-396: what the backend still uses when the queue ends is never used again. */
static void test_xsa_396_pages_in_use_are_leaked(void)
{
    static struct sent sent;
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct netif_rx_request request;
    assert(send_and_release(netback, make_packet(netback, 60, 1)) == 1);
    netback_take(netback, &sent);
    uint8_t *page = next_buffer(netback, &request);
    netback->guest.grants[sent.head.gref].busy = true;
    netback->guest.grants[request.gref].busy = true;
    netback->guest.grants[pv_netfront_rx_ring_ref(netback->queue)].busy = true;
    pv_netfront_disconnect(netback->queue);
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(stats.grants_leaked == 3 && stats.grants_ended == 511);
    memset(page, 1, 4096); /* it is still there for the backend */
    netback->rx.sring->rsp_prod = 7;
    netback_destroy(netback, 3);
}

/* Whatever runs out while a queue is made, everything is given back. */
static void test_creation_fails(void)
{
    static struct fake_guest guest;
    fake_guest_init(&guest, PV_ABI_X86_64);
    struct pv_packet_pool *pool = pv_packet_pool_create();
    struct pv_netfront_config config = {
        .hypervisor = &guest.hypervisor, .evtchn = (struct pv_evtchn *)&guest, .pool = pool};
    for (guest.most_grants = 0; guest.most_grants < 514; guest.most_grants += 57)
        assert(!pv_netfront_create(&config) && errno == ENOSPC && guest.granted == 0);
    guest.most_grants = UINT32_MAX;
    config.split_event_channels = true;
    for (unsigned free_ports = 0; free_ports < 2; free_ports++) {
        for (unsigned i = 0; i < FAKE_PORTS; i++)
            guest.bound[i] = i >= free_ports;
        assert(!pv_netfront_create(&config) && errno == ENOSPC && guest.granted == 0);
        for (unsigned i = 0; i < FAKE_PORTS; i++)
            assert(guest.bound[i] == (i >= free_ports));
    }
    memset(guest.bound, 0, sizeof(guest.bound));
    config.pool = NULL;
    assert(!pv_netfront_create(&config) && errno == EINVAL);
    pv_packet_pool_destroy(pool);
    pv_netfront_destroy(NULL);
    fake_guest_end(&guest, 0);
}

int main(void)
{
    test_ports();
    test_before_and_after_the_connection();
    test_xsa_396_pages_in_use_are_leaked();
    test_creation_fails();
    return 0;
}
