/* The packet workload before a backend that sends everything back, as it should or not. */
#include "frontends/vnif/c/fake_netback.h"
#include "pvdrivers/vnif/headers.h"
#include "tools/pvbench/load/packets.h"

enum fault { NONE, DROP, KEEP, DUPLICATE, SWAP, CORRUPT, ALIEN };

#define KEPT 256u

struct hairpin {
    struct fake_netback *netback;
    enum fault fault;
    uint32_t every; /* frames; the last of them has the fault */
    uint32_t seen;
    bool holds_one;
    struct sent held;
};

static struct hairpin hairpins[2];
static uint8_t kept[KEPT][1514]; /* frames */

static struct hairpin *hairpin_of(const struct fake_guest *guest)
{
    return &hairpins[(const struct fake_netback *)guest == hairpins[1].netback];
}

static void give(struct fake_netback *netback, const uint8_t *data, uint32_t length)
{
    uint32_t page_size = netback->guest.hypervisor.page_size;
    for (uint32_t at = 0; at < length; at += page_size) {
        struct netif_rx_request request;
        uint32_t left = length - at, bytes = left < page_size ? left : page_size;
        memcpy(next_buffer(netback, &request), data + at, bytes);
        struct netif_rx_response response = {.id = request.id,
                                             .flags = left > bytes ? NETRXF_more_data : 0,
                                             .status = (int16_t)bytes};
        put_response(netback, &response);
    }
}

static void turn_one(struct hairpin *hairpin, struct sent *sent)
{
    static const uint8_t alien[60] = {1, 2, 3};
    struct fake_netback *netback = hairpin->netback;
    bool faulty = hairpin->every && ++hairpin->seen % hairpin->every == 0;
    if (faulty && hairpin->fault == DROP)
        return;
    if (faulty && hairpin->fault == KEEP) {
        memcpy(kept[hairpin->seen - 1], sent->data, sent->length);
        return;
    }
    if (faulty && hairpin->fault == SWAP) {
        hairpin->held = *sent;
        hairpin->holds_one = true;
        return;
    }
    if (faulty && hairpin->fault == CORRUPT) /* each byte of the payload in turn */
        sent->data[42 + hairpin->seen / hairpin->every % (sent->length - 42)] ^= 4;
    if (faulty && hairpin->fault == ALIEN)
        give(netback, alien, sizeof(alien));
    give(netback, sent->data, sent->length);
    if (faulty && hairpin->fault == DUPLICATE)
        give(netback, sent->data, sent->length);
    if (hairpin->holds_one)
        give(netback, hairpin->held.data, hairpin->held.length);
    hairpin->holds_one = false;
}

static void turn(struct fake_guest *guest)
{
    static struct sent sent;
    struct hairpin *hairpin = hairpin_of(guest);
    struct fake_netback *netback = hairpin->netback;
    do {
        while (pv_back_unconsumed_requests(&netback->tx) > 0) {
            netback_take(netback, &sent);
            answer_packet(netback, &sent, NETIF_RSP_OKAY);
            turn_one(hairpin, &sent);
        }
        push_rx(netback);
    } while (pv_back_final_check(&netback->tx));
}

static void open_hairpins(uint32_t count, enum fault fault, uint32_t every)
{
    for (uint32_t i = 0; i < count; i++) {
        hairpins[i] = (struct hairpin){.netback = netback_connect(PV_ABI_X86_64, all_features),
                                       .fault = fault,
                                       .every = every};
        hairpins[i].netback->guest.notified = turn;
    }
}

static void close_hairpins(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        netback_destroy(hairpins[i].netback, 0);
        hairpins[i].netback = NULL; /* its memory may be the next one's */
    }
}

static struct pv_packet_workload *create(struct pv_packet_workload_config config)
{
    static struct pv_netfront_queue *queues[2];
    struct fake_netback *netback = hairpins[0].netback;
    config.hypervisor = &netback->guest.hypervisor;
    config.evtchn = (struct pv_evtchn *)netback;
    config.pool = netback->pool;
    config.nr_queues = config.nr_queues ? config.nr_queues : 1;
    for (uint32_t i = 0; i < config.nr_queues && i < 2; i++)
        queues[i] = hairpins[i].netback->queue;
    config.queues = queues;
    memcpy(config.source, "\0\x16\x3e\0\0\1", 6);
    memcpy(config.destination, "\0\x16\x3e\0\0\2", 6);
    return pv_packet_workload_create(&config);
}

static struct pv_packet_workload_config make_config(enum pv_packet_pattern pattern, uint32_t size)
{
    return (struct pv_packet_workload_config){.pattern = pattern,
                                              .size = size,
                                              .batch = 8,
                                              .depth = 4,
                                              .count = 1000,
                                              .mode = PV_POLL_MODE_EVENT};
}

static struct pv_packet_workload_result run(const struct pv_packet_workload_config *config,
                                            enum fault fault, uint32_t every)
{
    uint32_t queues = config->nr_queues ? config->nr_queues : 1;
    open_hairpins(queues, fault, every);
    struct pv_packet_workload *workload = create(*config);
    assert(workload && pv_packet_workload_run(workload) == 0);
    struct pv_packet_workload_result result = *pv_packet_workload_get_result(workload);
    struct pv_packet_progress progress;
    pv_packet_workload_get_progress(workload, &progress);
    assert(progress.tx.packets == result.tx.packets && progress.rx.bytes == result.rx.bytes);
    pv_packet_workload_destroy(workload);
    close_hairpins(queues);
    return result;
}

static void expect(const struct pv_packet_workload_result *result, uint64_t lost,
                   uint64_t reordered, uint64_t duplicated, uint64_t corrupt, uint64_t foreign)
{
    assert(result->lost == lost && result->reordered == reordered);
    assert(result->duplicated == duplicated && result->corrupt == corrupt);
    assert(result->foreign == foreign);
}

static void test_sizes(void)
{
    static const uint32_t sizes[] = {60, 61, 64, 67, 1514, 4097, 9014, 65535};
    static const uint32_t batches[] = {1, 7, 256};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        for (size_t j = 0; j < sizeof(batches) / sizeof(*batches); j++) {
            struct pv_packet_workload_config config = make_config(PV_PACKETS_BOTH, sizes[i]);
            config.batch = batches[j];
            struct pv_packet_workload_result result = run(&config, NONE, 0);
            assert(result.tx.packets == 1000 && result.rx.packets == 1000);
            assert(result.tx.bytes == 1000ull * sizes[i] && result.rx.bytes == result.tx.bytes);
            expect(&result, 0, 0, 0, 0, 0);
        }
    }
}

static void test_modes_and_queues(void)
{
    for (int mode = PV_POLL_MODE_POLL; mode <= PV_POLL_MODE_EVENT; mode++) {
        struct pv_packet_workload_config config = make_config(PV_PACKETS_BOTH, 60);
        config.mode = (enum pv_poll_mode)mode;
        config.nr_queues = 2;
        config.first_stream = 254;
        struct pv_packet_workload_result result = run(&config, NONE, 0);
        assert(result.tx.packets == 2000 && result.rx.packets == 2000);
        expect(&result, 0, 0, 0, 0, 0);
    }
}

static void test_what_goes_wrong_is_counted(void)
{
    struct pv_packet_workload_config config = make_config(PV_PACKETS_BOTH, 67);
    struct pv_packet_workload_result result = run(&config, DUPLICATE, 10);
    expect(&result, 0, 0, 100, 0, 0);
    result = run(&config, SWAP, 9);
    expect(&result, 0, 111, 0, 0, 0);
    result = run(&config, ALIEN, 10);
    expect(&result, 0, 0, 0, 0, 100);
    /* One byte of the magic number or of its length in 25 is taken for something else. */
    result = run(&config, CORRUPT, 9);
    assert(result.corrupt + result.foreign == 111 && result.foreign <= 10);
    assert(result.lost == 111 && result.reordered == 0);
    result = run(&config, DROP, 7);
    expect(&result, 142, 0, 0, 0, 0);
    assert(result.rx.packets == 858);
}

/* Every frame is one that a network would carry. */
static void test_frames(void)
{
    struct pv_packet_workload_config config = make_config(PV_PACKETS_SEND, 1514);
    config.count = 3;
    config.first_stream = 9;
    run(&config, KEEP, 1);
    for (uint32_t i = 0; i < 3; i++) {
        struct pv_packet_headers headers;
        struct pv_packet packet = {.data = kept[i], .length = 1514};
        pv_packet_parse(&packet, &headers);
        assert(headers.version == 4 && headers.protocol == 17 && headers.payload == 42);
        assert(pv_packet_checksums_valid(&packet));
        assert(memcmp(kept[i], "\0\x16\x3e\0\0\2\0\x16\x3e\0\0\1", 12) == 0);
        assert(kept[i][16] == (1514 - 14) >> 8 && kept[i][17] == ((1514 - 14) & 255));
        assert(kept[i][34] == 0xC0 && kept[i][35] == 9); /* its stream's port */
        assert(kept[i][46] == i && kept[i][53] == 9);    /* and its number */
    }
}

static void test_backend_that_does_not_answer(void)
{
    open_hairpins(1, NONE, 0);
    hairpins[0].netback->guest.notified = NULL;
    struct pv_packet_workload *workload =
        create((struct pv_packet_workload_config){.pattern = PV_PACKETS_SEND,
                                                  .size = 60,
                                                  .batch = 32,
                                                  .runtime_ns = 500000000,
                                                  .mode = PV_POLL_MODE_HYBRID});
    assert(pv_packet_workload_run(workload) == -ETIMEDOUT);
    assert(pv_packet_workload_get_result(workload)->tx.packets == 256); /* what the ring holds */
    assert(pv_packet_workload_get_result(workload)->no_room == 1);
    pv_packet_workload_destroy(workload);
    close_hairpins(1);
}

static void test_requests(void)
{
    struct pv_packet_workload_config config = make_config(PV_PACKETS_ASK, 60);
    for (config.depth = 1; config.depth <= 64; config.depth *= 8) {
        struct pv_packet_workload_result result = run(&config, NONE, 0);
        assert(result.tx.packets == 1000 && result.rx.packets == 1000);
        assert(result.latency.count == 1000 && result.latency.min > 0);
        expect(&result, 0, 0, 0, 0, 0);
    }
    config.depth = 4;
    struct pv_packet_workload_result result = run(&config, SWAP, 3); /* each has its own answer */
    assert(result.latency.count == 1000 && result.lost == 0);
    result = run(&config, DROP, 400); /* it goes on after a second */
    assert(result.latency.count == 998 && result.lost == 2);
}

/* Answers have the ends exchanged, and the rest as it came. */
static void test_answers(void)
{
    static uint8_t request[60];
    struct pv_packet_workload_config config = make_config(PV_PACKETS_SEND, 60);
    config.count = 1;
    run(&config, KEEP, 1);
    memcpy(request, kept[0], 60);

    open_hairpins(1, KEEP, 1);
    for (int i = 0; i < 200; i++)
        give(hairpins[0].netback, request, 60);
    push_rx(hairpins[0].netback);
    config.pattern = PV_PACKETS_ANSWER;
    config.count = 200;
    config.batch = 64;
    struct pv_packet_workload *workload = create(config);
    assert(pv_packet_workload_run(workload) == 0);
    assert(pv_packet_workload_get_result(workload)->tx.packets == 200);
    for (int i = 0; i < 200; i++) {
        const uint8_t *reply = kept[i];
        assert(memcmp(reply, request + 6, 6) == 0 && memcmp(reply + 6, request, 6) == 0);
        assert(memcmp(reply + 26, request + 30, 4) == 0 &&
               memcmp(reply + 30, request + 26, 4) == 0);
        assert(memcmp(reply + 34, request + 36, 2) == 0 &&
               memcmp(reply + 36, request + 34, 2) == 0);
        assert(memcmp(reply + 12, request + 12, 14) == 0);
        assert(memcmp(reply + 38, request + 38, 22) == 0);
    }
    pv_packet_workload_destroy(workload);
    close_hairpins(1);
}

static void test_limits(void)
{
    struct pv_packet_workload_config config = make_config(PV_PACKETS_BOTH, 60);
    config.count = 50;
    config.rate = 1000;
    struct pv_packet_workload_result result = run(&config, NONE, 0);
    assert(result.tx.packets == 50 && result.elapsed_ns >= 49000000 && result.sleeps > 0);
    config.count = 0;
    config.rate = 0;
    config.runtime_ns = 20000000;
    config.ramp_ns = 10000000;
    result = run(&config, NONE, 0);
    assert(result.elapsed_ns == 20000000 && result.lost == 0);

    open_hairpins(1, NONE, 0);
    config.runtime_ns = config.ramp_ns = 0;
    struct pv_packet_workload *workload = create(config);
    pv_packet_workload_stop(workload);
    assert(pv_packet_workload_run(workload) == 0);
    pv_packet_workload_destroy(workload);
    pv_store_release(&hairpins[0].netback->tx.sring->rsp_prod, 77);
    workload = create(config);
    assert(pv_packet_workload_run(workload) == -EPROTO);
    pv_packet_workload_destroy(workload);
    close_hairpins(1);
}

static void expect_refused(struct pv_packet_workload_config config)
{
    errno = 0;
    assert(!create(config) && errno == EINVAL);
}

static void test_unsound_configurations(void)
{
    open_hairpins(2, NONE, 0);
    expect_refused(make_config(PV_PACKETS_SEND, 59));
    expect_refused(make_config(PV_PACKETS_SEND, 65536));
    expect_refused(make_config(PV_PACKETS_PATTERN_COUNT, 60));
    struct pv_packet_workload_config config = make_config(PV_PACKETS_ASK, 60);
    config.depth = 0;
    expect_refused(config);
    config.depth = 1;
    config.batch = 0;
    expect_refused(config);
    config.batch = PV_PACKET_WORKLOAD_MAX_BATCH + 1;
    expect_refused(config);
    config.batch = 1;
    config.nr_queues = 2;
    config.first_stream = 255;
    expect_refused(config);
    close_hairpins(2);
}

int main(void)
{
    test_sizes();
    test_modes_and_queues();
    test_what_goes_wrong_is_counted();
    test_frames();
    test_backend_that_does_not_answer();
    test_requests();
    test_answers();
    test_limits();
    test_unsound_configurations();
    return 0;
}
