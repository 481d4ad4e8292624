/* The network frontend against a backend that lies in every field it can write (XSA-376). */
#include "frontends/vnif/c/fake_netback.h"

/* The queue is broken for good, and touches its rings no more. */
static void expect_broken(struct fake_netback *netback, enum pv_netfront_violation violation)
{
    struct pv_netfront_queue *queue = netback->queue;
    struct pv_packet *packet = make_packet(netback, 60, 1), *received;
    uint8_t tx_ring[4096], rx_ring[4096];
    char line[256];
    assert(pv_netfront_receive(queue, &received, 1) == -EPROTO);
    assert(pv_netfront_broken(queue) == violation);
    memcpy(tx_ring, netback->tx.sring, sizeof(tx_ring));
    memcpy(rx_ring, netback->rx.sring, sizeof(rx_ring));
    for (int again = 0; again < 3; again++) {
        assert(pv_netfront_receive(queue, &received, 1) == -EPROTO);
        assert(pv_netfront_send(queue, &packet, 1) == -EPROTO);
        assert(pv_netfront_multicast(queue, (const uint8_t[6]){1}, true) == -EPROTO);
        assert(pv_netfront_room(queue) == 0);
        assert(pv_netfront_arm(queue, true) && pv_netfront_has_news(queue));
    }
    assert(memcmp(tx_ring, netback->tx.sring, sizeof(tx_ring)) == 0);
    assert(memcmp(rx_ring, netback->rx.sring, sizeof(rx_ring)) == 0);
    assert(netback_stats(netback).violations == 1);
    assert(pv_netfront_describe(queue, line, sizeof(line)) > 0 && strstr(line, "broken"));
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* With `packets` on the tx ring: ids as they are in `sent`. */
static struct fake_netback *start(struct sent *sent, unsigned packets)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    for (unsigned i = 0; i < packets; i++) {
        assert(send_and_release(netback, make_packet(netback, 60, i)) == 1);
        netback_take(netback, &sent[i]);
    }
    return netback;
}

static void test_more_responses_than_requests(void)
{
    static struct sent sent[8];
    static const uint32_t jumps[] = {9, 256, 257, 1u << 31, UINT32_MAX}; /* of 8 */
    for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
        struct fake_netback *netback = start(sent, 8);
        pv_store_release(&netback->tx.sring->rsp_prod, jumps[i]);
        expect_broken(netback, PV_NETFRONT_RESPONSE_OVERFLOW);
    }
    static const uint32_t rx_jumps[] = {257, 512, 1u << 31, UINT32_MAX}; /* of 256 */
    for (size_t i = 0; i < sizeof(rx_jumps) / sizeof(*rx_jumps); i++) {
        struct fake_netback *netback = start(sent, 0);
        pv_store_release(&netback->rx.sring->rsp_prod, rx_jumps[i]);
        expect_broken(netback, PV_NETFRONT_RESPONSE_OVERFLOW);
    }
}

static void test_xsa_376_ids(void)
{
    static struct sent sent[8];
    static const uint16_t bad[] = {8, 255, 256, 0x8000, 0xFFFF}; /* 0 to 7 are in flight */
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct fake_netback *netback = start(sent, 8);
        answer(netback, sent[0].ids[0], NETIF_RSP_OKAY); /* a good one first */
        answer(netback, bad[i], NETIF_RSP_OKAY);
        expect_broken(netback, PV_NETFRONT_BAD_ID);
    }
    struct fake_netback *netback = start(sent, 8);
    answer(netback, sent[3].ids[0], NETIF_RSP_OKAY);
    answer(netback, sent[3].ids[0], NETIF_RSP_OKAY); /* twice: its page could be another's by now */
    expect_broken(netback, PV_NETFRONT_BAD_ID);
}

/* A slot without an extra info is not answered as one: its id would never come back. */
static void test_null_response_without_extra(void)
{
    static struct sent sent[8];
    struct fake_netback *netback = start(sent, 8);
    answer(netback, sent[0].ids[0], NETIF_RSP_NULL);
    expect_broken(netback, PV_NETFRONT_BAD_ID);
}

/* Any other status is an answer; only OKAY is none of an error. */
static void test_every_tx_status(void)
{
    static struct sent sent[1];
    struct fake_netback *netback = start(sent, 0);
    for (int status = INT16_MIN; status <= INT16_MAX; status += 1021) {
        assert(send_and_release(netback, make_packet(netback, 60, 1)) == 1);
        netback_take(netback, sent);
        uint64_t errors = netback_stats(netback).tx_errors;
        answer_packet(netback, sent, (int16_t)status);
        assert(pv_netfront_room(netback->queue) == 256);
        assert(netback_stats(netback).tx_errors == errors + (status != 0));
    }
    netback_destroy(netback, 0);
}

/* A slot with a bad status spoils its packet; one that is only short does not. */
static void expect_drop_or_length(struct fake_netback *netback, enum pv_netfront_error error,
                                  int length)
{
    if (error == PV_NETFRONT_BAD_STATUS) {
        expect_drop(netback, error);
        return;
    }
    push_rx(netback);
    struct pv_packet *packet = receive_one(netback);
    assert(packet->length == (uint32_t)length);
    pv_packet_release(netback->cache, &packet, 1);
}

/* XSA-405: whatever statuses come in whatever order, a packet dropped does no harm to the next. */
static void test_xsa_405_rx_statuses(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    static const struct {
        uint16_t offset;
        int16_t status;
        enum pv_netfront_error error;
    } bad[] = {{0, -1, PV_NETFRONT_BAD_STATUS},
               {0, INT16_MIN, PV_NETFRONT_BAD_STATUS},
               {0, 4097, PV_NETFRONT_BAD_STATUS},
               {1, 4096, PV_NETFRONT_BAD_STATUS},
               {4096, 60, PV_NETFRONT_BAD_STATUS},
               {0xFFFF, 60, PV_NETFRONT_BAD_STATUS},
               {0xFFFF, INT16_MAX, PV_NETFRONT_BAD_STATUS},
               {0, 0, PV_NETFRONT_TOO_SHORT},
               {0, 13, PV_NETFRONT_TOO_SHORT},
               {4096, 0, PV_NETFRONT_TOO_SHORT}};
    for (int round = 0; round < 60; round++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            put_raw(netback, bad[i].offset, 0, bad[i].status);
            expect_drop(netback, bad[i].error);
            put_fragment(netback, 5, 0, 60, 0, NETRXF_more_data); /* a good slot before a bad one */
            put_raw(netback, bad[i].offset, 0, bad[i].status);
            expect_drop_or_length(netback, bad[i].error, 60 + bad[i].status);
            put_raw(netback, bad[i].offset, NETRXF_more_data, bad[i].status); /* and behind it */
            put_fragment(netback, 5, 0, 60, 0, 0);
            expect_drop_or_length(netback, bad[i].error, 60 + bad[i].status);
            put_fragment(netback, 7, 0, 60, 0, 0);
            push_rx(netback);
            expect_packet(netback, 60, 7);
        }
    }
    netback_destroy(netback, 0);
}

static void test_too_many_slots(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    for (uint32_t i = 0; i < 19; i++)
        put_fragment(netback, 2, i * 20, 20, 0, i < 18 ? NETRXF_more_data : 0);
    push_rx(netback);
    expect_packet(netback, 380, 2); /* 18, and one as Linux's frontend takes it */
    for (uint32_t slots = 20; slots < 250; slots += 30) {
        for (uint32_t i = 0; i < slots; i++)
            put_fragment(netback, 2, i * 20, 20, 0, i + 1 < slots ? NETRXF_more_data : 0);
        expect_drop(netback, PV_NETFRONT_TOO_MANY_SLOTS);
    }
    for (uint32_t i = 0; i < 17; i++) /* 17 pages are more than a packet may have */
        put_raw(netback, 0, i < 16 ? NETRXF_more_data : 0, 4096);
    expect_drop(netback, PV_NETFRONT_TOO_LONG);
    for (uint32_t i = 0; i < 16; i++)
        put_raw(netback, 0, i < 15 ? NETRXF_more_data : 0, 4096);
    expect_drop(netback, PV_NETFRONT_TOO_LONG); /* 65536 bytes */
    put_fragment(netback, 7, 0, 60, 0, 0);
    push_rx(netback);
    expect_packet(netback, 60, 7);
    netback_destroy(netback, 0);
}

/* A chain that ends in the air is dropped, not waited for: the backend publishes whole packets, and
 * to wait would let it keep the frontend awake for ever (XSA-391). */
static void test_xsa_391_cut_short(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    put_fragment(netback, 1, 0, 60, 0, NETRXF_more_data);
    expect_drop(netback, PV_NETFRONT_CUT_SHORT);
    put_fragment(netback, 1, 0, 60, 0, NETRXF_extra_info);
    expect_drop(netback, PV_NETFRONT_CUT_SHORT);
    put_fragment(netback, 1, 0, 60, 0, NETRXF_extra_info);
    put_extra(netback, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_XDP,
                                                 .flags = XEN_NETIF_EXTRA_FLAG_MORE});
    expect_drop(netback, PV_NETFRONT_CUT_SHORT);
    assert(!pv_netfront_has_news(netback->queue) && !pv_netfront_arm(netback->queue, true));
    put_fragment(netback, 7, 0, 60, 0, 0);
    push_rx(netback);
    expect_packet(netback, 60, 7);
    netback_destroy(netback, 0);
}

static void expect_bad_extra(struct fake_netback *netback, const uint8_t bytes[8],
                             enum pv_netfront_error error)
{
    struct netif_extra_info extra;
    memcpy(&extra, bytes, sizeof(extra));
    put_fragment(netback, 1, 0, 60, 0, NETRXF_extra_info);
    put_extra(netback, extra);
    expect_drop(netback, error);
}

static void test_extras(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    expect_bad_extra(netback, (uint8_t[8]){0}, PV_NETFRONT_BAD_EXTRA);
    for (unsigned type = 6; type < 256; type += 10)
        expect_bad_extra(netback, (uint8_t[8]){(uint8_t)type}, PV_NETFRONT_BAD_EXTRA);
    expect_bad_extra(netback, (uint8_t[8]){4, 0, 4, 1}, PV_NETFRONT_BAD_EXTRA);  /* hash type */
    expect_bad_extra(netback, (uint8_t[8]){4, 0, 1, 2}, PV_NETFRONT_BAD_EXTRA);  /* algorithm */
    expect_bad_extra(netback, (uint8_t[8]){1, 0, 0, 0, 1}, PV_NETFRONT_BAD_GSO); /* size 0 */
    expect_bad_extra(netback, (uint8_t[8]){1, 0, 200, 0, 0}, PV_NETFRONT_BAD_GSO);
    expect_bad_extra(netback, (uint8_t[8]){1, 0, 200, 0, 3}, PV_NETFRONT_BAD_GSO);
    expect_bad_extra(netback, (uint8_t[8]){5, 0, 61, 0}, PV_NETFRONT_BAD_STATUS); /* headroom */
    expect_bad_extra(netback, (uint8_t[8]){5, 0, 47, 0}, PV_NETFRONT_TOO_SHORT);
    /* A chain of extras over the whole ring. */
    put_fragment(netback, 1, 0, 60, 0, NETRXF_extra_info);
    for (int i = 0; i < 200; i++)
        put_extra(netback, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
                                                     .flags = XEN_NETIF_EXTRA_FLAG_MORE});
    expect_drop(netback, PV_NETFRONT_CUT_SHORT);
    put_fragment(netback, 7, 0, 60, 0, 0);
    push_rx(netback);
    expect_packet(netback, 60, 7);
    netback_destroy(netback, 0);
}

/* What a slot said when it was copied counts; the packet is parsed in private memory (XSA-155). */
static void test_xsa_155_packet_is_a_private_copy(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct netif_rx_request request;
    uint8_t *page = next_buffer(netback, &request);
    memset(page, 1, 60);
    struct netif_rx_response response = {.status = 60};
    put_response(netback, &response);
    push_rx(netback);
    struct pv_packet *packet = receive_one(netback);
    memset(page, 2, 60);
    assert(packet->data[0] == 1 && packet->data[59] == 1);
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* Random bytes over both rings, again and again, while the frontend works. */
static void test_xsa_376_noise(void)
{
    srand(1);
    for (int run = 0; run < 300; run++) {
        struct fake_netback *netback = netback_connect((enum pv_abi)(run % 3), all_features);
        struct pv_packet *packets[8];
        static struct sent sent;
        for (int step = 0; step < 40; step++) {
            int count = send_and_release(netback, make_packet(netback, 60, 1));
            assert(count == 1 || count == 0 || count == -EPROTO);
            if (count == 1) {
                netback_take(netback, &sent);
                answer(netback, rand() % 20 ? sent.ids[0] : (uint16_t)rand(), 0);
            }
            if (pv_back_unconsumed_requests(&netback->rx) > 4)
                for (int i = rand() % 4; i >= 0; i--)
                    put_raw(netback, (uint16_t)(rand() % 5000), (uint16_t)(rand() % 32),
                            (int16_t)(rand() % 5000 - 100));
            push_rx(netback);
            if (rand() % 20 == 0)
                ((uint8_t *)netback->rx.sring)[rand() % 16] ^= (uint8_t)(1 << rand() % 8);
            count = pv_netfront_receive(netback->queue, packets, 8);
            assert(count == -EPROTO || (count >= 0 && count <= 8));
            pv_netfront_arm(netback->queue, true);
            if (count < 0)
                break;
            for (int i = 0; i < count; i++)
                assert(packets[i]->length >= PV_PACKET_MIN_LENGTH);
            pv_packet_release(netback->cache, packets, (uint32_t)count);
            if (pv_back_unconsumed_requests(&netback->rx) < 0)
                break; /* the noise hit the posted buffers' index */
        }
        netback_destroy(netback, 0);
    }
}

int main(void)
{
    test_more_responses_than_requests();
    test_xsa_376_ids();
    test_null_response_without_extra();
    test_every_tx_status();
    test_xsa_405_rx_statuses();
    test_too_many_slots();
    test_xsa_391_cut_short();
    test_extras();
    test_xsa_155_packet_is_a_private_copy();
    test_xsa_376_noise();
    return 0;
}
