/* The life of a queue: what it is made of, what it refuses, and how the next one goes on. */
#include "tests/backends/vnif/c/loopback.h"

static struct loopback loop;
static uint8_t log_area[16384] __attribute__((aligned(128)));

static struct pv_netback_queue_config with_log(void)
{
    struct pv_netback_queue_config config = loopback_queue_config(&loop, 0);
    config.log = log_area;
    config.log_size = pv_netback_log_size(PV_ABI_X86_64, 0);
    return config;
}

static void open_vif(void)
{
    loopback_init(&loop, PV_ABI_X86_64);
    memset(log_area, 0, sizeof log_area);
    loop.vif = pv_netback_vif_create(&loop.config);
    assert(loop.vif);
}

static void expect_refused(struct pv_netback_queue_config config, int error)
{
    assert(!pv_netback_queue_create(loop.vif, &config) && errno == error);
    assert(loop.mapped == 0 && loop.bound == 0);
    if (error != EBUSY)
        assert(pv_netback_queue_resumable(loop.vif, &config) == -error);
    assert(loop.mapped == 0);
}

static void test_vif_refused(void)
{
    loopback_init(&loop, PV_ABI_X86_64);
    struct pv_netback_vif_config config = loop.config;
    config.queues = 0;
    assert(!pv_netback_vif_create(&config) && errno == EINVAL);
    config.queues = PV_NETBACK_MAX_QUEUES + 1;
    assert(!pv_netback_vif_create(&config) && errno == EINVAL);
    config = loop.config;
    config.uplink = NULL;
    assert(!pv_netback_vif_create(&config) && errno == EINVAL);
    config = loop.config;
    config.abi = PV_ABI_COUNT;
    assert(!pv_netback_vif_create(&config) && errno == EINVAL);
    pv_netback_vif_destroy(NULL);
    pv_netback_queue_destroy(NULL);
    pv_netback_control_destroy(NULL);
    loopback_close(&loop);
}

static void test_queue_refused(void)
{
    open_vif();
    struct pv_netback_queue_config config = with_log();
    config.index = QUEUES;
    expect_refused(config, EINVAL);
    config = with_log(), config.log = log_area + 64;
    expect_refused(config, EINVAL);
    config = with_log(), config.log_size--;
    expect_refused(config, EINVAL);
    config = with_log(), config.rx_ring_ref = GUEST_PAGES;
    expect_refused(config, EINVAL); /* what the hypervisor says */
    struct pv_sring *rx = (struct pv_sring *)loopback_page(&loop, RX_RING(0));
    rx->req_prod = 257;
    expect_refused(with_log(), EIO);
    rx->req_prod = 0;
    loopback_close(&loop);
}

/* A frontend that says its pages are larger than they are. */
static void test_abi_is_a_lie(void)
{
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.abi = PV_ABI_IA64;
    loop.vif = pv_netback_vif_create(&loop.config);
    expect_refused(loopback_queue_config(&loop, 0), EPROTO);
    loopback_close(&loop);
}

static void test_index_is_taken(void)
{
    loopback_open(&loop);
    const struct pv_netback_queue_config config = loopback_queue_config(&loop, 0);
    assert(!pv_netback_queue_create(loop.vif, &config) && errno == EBUSY);
    assert(loop.mapped == 2 && loop.bound == 2);
    tx_put_request(&loop, DATA, 0, 64, 0);
    assert(loopback_pump(&loop) == 1);
    loopback_close(&loop);
}

static void test_ports(void)
{
    loopback_open(&loop);
    const struct pv_pollable *pollable = pv_netback_queue_pollable(loop.back[0]);
    assert(pollable->port == LOCAL_PORT(TX_PORT(0)));
    assert(pollable->second_port == LOCAL_PORT(RX_PORT(0)));
    assert(pv_netback_queue_port(loop.back[0]) == pollable->port);
    assert(pv_netback_queue_rx_port(loop.back[0]) == pollable->second_port);
    loopback_close(&loop);
    loopback_init(&loop, PV_ABI_X86_64);
    loop.split = false;
    loopback_connect(&loop);
    assert(pv_netback_queue_rx_port(loop.back[0]) == pv_netback_queue_port(loop.back[0]));
    assert(loop.bound == 1);
    loopback_close(&loop);
}

static void test_describe(void)
{
    char line[300];
    loopback_open(&loop);
    tx_put_request(&loop, DATA, 0, 64, 0);
    loopback_pump(&loop);
    assert(pv_netback_queue_describe(loop.back[0], line, sizeof line) < (int)sizeof line);
    assert(strstr(line, "domain 7 queue 0 port 110: running, uplink fake, 1 tx packets"));
    tx_put_request(&loop, DATA, 4096, 64, 0);
    loopback_pump(&loop);
    pv_netback_queue_describe(loop.back[0], line, sizeof line);
    assert(strstr(line, "broken") && strstr(line, "1 errors"));
    loopback_close(&loop);
}

/* What wakes a queue that does nothing any more does not keep its thread awake. */
static void test_woken_for_nothing(void)
{
    loopback_open(&loop);
    int fd = pv_netback_queue_pollable(loop.back[0])->fd;
    assert(loopback_pump(&loop) == 0 && !pv_netback_queue_arm(loop.back[0]));
    pv_netback_queue_stop(loop.back[0]);
    pv_netback_vif_set_rate(loop.vif, 0, 0);
    assert(is_readable(fd));
    assert(loopback_pump(&loop) == 0 && !pv_netback_queue_arm(loop.back[0]));
    assert(!is_readable(fd));
    loopback_close(&loop);

    loopback_open(&loop);
    fd = pv_netback_queue_pollable(loop.back[0])->fd;
    tx_put_request(&loop, DATA, 4096, 64, 0);
    assert(loopback_pump(&loop) == -EPROTO && !pv_netback_queue_arm(loop.back[0]));
    pv_netback_vif_set_rate(loop.vif, 0, 0);
    assert(loopback_pump(&loop) == -EPROTO && !pv_netback_queue_arm(loop.back[0]));
    assert(!is_readable(fd));
    loopback_close(&loop);
}

static void connect_with_log(void)
{
    const struct pv_netback_queue_config config = with_log();
    loop.back[0] = pv_netback_queue_create(loop.vif, &config);
    assert(loop.back[0]);
}

/* A queue that ended anywhere: the next one begins at the first packet without an answer. */
static void test_goes_on(void)
{
    open_vif();
    struct pv_netback_queue_config config = with_log();
    assert(pv_netback_queue_resumable(loop.vif, &config) == 0); /* a new connection */
    connect_with_log();
    loopback_attach_front(&loop, 0);
    rx_post(&loop, 0, 2);
    uplink_queue(&loop, 60);
    for (int i = 0; i < 3; i++)
        tx_put_request(&loop, DATA + (grant_ref_t)i, 0, 64, 0);
    pv_front_push_requests(&loop.front[0].tx);
    pv_front_push_requests(&loop.front[0].rx);
    assert(pv_netback_queue_pump(loop.back[0], 2, 1) == 3);
    pv_netback_queue_destroy(loop.back[0]);

    struct pv_netback_queue_config no_log = config;
    no_log.log = NULL;
    assert(pv_netback_queue_resumable(loop.vif, &no_log) == -EBUSY);
    no_log = config, no_log.tx_port++;
    assert(pv_netback_queue_resumable(loop.vif, &no_log) == -ESTALE);
    no_log = config, no_log.rx_ring_ref = RX_RING(1);
    assert(pv_netback_queue_resumable(loop.vif, &no_log) == -ESTALE);
    assert(!pv_netback_queue_create(loop.vif, &no_log) && errno == ESTALE);
    assert(pv_netback_queue_resumable(loop.vif, &config) == 0);

    memset(loop.notified, 0, sizeof loop.notified);
    connect_with_log();
    uplink_queue(&loop, 61);
    assert(loopback_pump(&loop) == 2);
    assert(loop.notified[TX_PORT(0)] && loop.notified[RX_PORT(0)]);
    for (int i = 0; i < 3; i++)
        tx_expect(&loop, DATA + (grant_ref_t)i, NETIF_RSP_OKAY);
    rx_expect(&loop, 0, 60);
    rx_expect(&loop, 0, 61);
    assert(loop.uplink.sent_count == 3 && loopback_stats(&loop).resumed == 0);
    loopback_close(&loop);
}

/* A response that was logged and not published is published, and counted. */
static void test_republishes(void)
{
    open_vif();
    connect_with_log();
    loopback_attach_front(&loop, 0);
    tx_put_request(&loop, DATA, 0, 64, 0);
    loopback_pump(&loop);
    pv_netback_queue_destroy(loop.back[0]);
    struct pv_sring *tx = loop.front[0].tx.sring;
    tx->rsp_prod = 0; /* as if it had been killed just before */
    memset(tx->ring, 0xee, 12);
    connect_with_log();
    assert(loopback_stats(&loop).resumed == 1 && loop.uplink.sent_count == 1);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    loopback_close(&loop);
}

int main(void)
{
    test_vif_refused();
    test_queue_refused();
    test_abi_is_a_lie();
    test_index_is_taken();
    test_ports();
    test_describe();
    test_woken_for_nothing();
    test_goes_on();
    test_republishes();
    return 0;
}
