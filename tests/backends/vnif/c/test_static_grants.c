/* Static grants: pages that the guest has mapped once are copied from and to without a hypercall,
 * and no list of a guest's maps or unmaps anything else. */
#include "tests/backends/vnif/c/control_ring.h"

#include <pthread.h>

#define LIST 900u  /* the guest's page with a list */
#define LIMIT 512u /* as many as a list has */
#define RINGS 3u   /* mapped beside them: two of the queue, one of control */
#define GET XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE
#define ADD XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING
#define DEL XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING
#define readonly XEN_NETIF_CTRLF_GREF_readonly

static struct xen_netif_gref *list(void)
{
    return (struct xen_netif_gref *)loopback_page(&loop, LIST);
}

static void write_list(grant_ref_t first, uint32_t count, uint16_t flags)
{
    for (uint32_t i = 0; i < count; i++)
        list()[i] = (struct xen_netif_gref){.ref = first + i, .flags = flags, .status = 77};
}

static uint32_t add(grant_ref_t first, uint32_t count, uint16_t flags)
{
    write_list(first, count, flags);
    return ask(ADD, 0, LIST, count);
}

/* How many were unmapped; the statuses stand in the list. */
static uint32_t del(uint32_t count)
{
    put(DEL, 0, LIST, count);
    assert(pv_netback_control_pump(control, 16, loop.now) == 1);
    struct xen_netif_ctrl_response response = take(DEL);
    assert(response.status == ok);
    return response.data;
}

static uint32_t mapped(void)
{
    return loop.mapped - RINGS;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void test_limit(enum pv_abi abi, uint32_t limit)
{
    open_control_of(abi);
    put(GET, 0, 0, 0);
    put(GET, QUEUES - 1, 0, 0);
    assert(pv_netback_control_pump(control, 16, loop.now) == 2);
    assert(take(GET).data == limit && take(GET).data == limit);
    assert(ask(GET, QUEUES, 0, 0) == invalid && ask(GET, UINT32_MAX, 0, 0) == invalid);
    assert(add(DATA, 300, 0) == ok && mapped() == 300);
    assert(ask(ADD, 0, LIST, limit + 1) == invalid && ask(ADD, 0, LIST, UINT32_MAX) == invalid);
    assert(ask(DEL, 0, LIST, limit + 1) == invalid && ask(DEL, QUEUES, LIST, 1) == invalid);
    assert(ask(ADD, QUEUES, LIST, 1) == invalid);
    assert(add(DATA + 300, 0, 0) == ok && mapped() == 300);
    close_control(); /* which unmaps what is still there */
}

static void test_xsa_300_full(void)
{
    open_control();
    assert(add(DATA, 500, 0) == ok);
    assert(add(DATA + 500, 13, 0) == invalid && mapped() == 500);
    assert(add(DATA + 500, 12, 0) == ok && mapped() == LIMIT);
    assert(add(DATA + 600, 1, 0) == invalid);
    write_list(DATA, 1, 0);
    assert(ask(ADD, 1, LIST, 1) == ok && mapped() == LIMIT + 1); /* each queue has its own */
    write_list(DATA, LIMIT, 0);
    assert(del(LIMIT) == LIMIT && mapped() == 1);
    assert(add(DATA, LIMIT, readonly) == ok);
    close_control();
}

/* All of a list, or nothing. */
static void test_whole_or_nothing(void)
{
    open_control();
    loop.bad_ref = DATA + 150; /* behind some that were mapped in an earlier call */
    assert(add(DATA, 200, 0) == invalid && mapped() == 0);
    loop.bad_ref = UINT32_MAX;
    loop.readonly_ref = DATA + 3;
    assert(add(DATA, 10, 0) == invalid && mapped() == 0);
    assert(add(DATA, 10, readonly) == ok && mapped() == 10);
    assert(add(DATA + 9, 100, 0) == invalid && mapped() == 10); /* one is there already */
    write_list(DATA + 10, 200, 0);
    list()[199].ref = DATA + 10; /* twice in one list */
    assert(ask(ADD, 0, LIST, 200) == invalid && mapped() == 10);
    list()[1].ref = DATA + 10;
    assert(ask(ADD, 0, LIST, 2) == invalid && mapped() == 10);
    write_list(DATA, 10, 0);
    assert(del(10) == 10 && mapped() == 0); /* what was there before has remained */
    close_control();
}

static void test_list_pages(void)
{
    open_control();
    assert(ask(ADD, 0, 60000, 1) == invalid && ask(DEL, 0, 60000, 1) == invalid);
    loop.readonly_ref = LIST;
    assert(add(DATA, 2, 0) == ok && mapped() == 2);
    assert(ask(DEL, 0, LIST, 2) == invalid && mapped() == 0); /* nobody can be told of each */
    close_control();
}

static void test_status_of_each(void)
{
    open_control();
    write_list(DATA, 3, 0);
    assert(del(3) == 0 && list()[2].status == invalid); /* before any was added */
    assert(add(DATA, 3, 0) == ok && list()[0].status == 77);
    write_list(DATA + 1, 4, 0); /* two of these */
    list()[3].ref = DATA + 1;   /* and one of them twice */
    assert(del(4) == 2 && mapped() == 1);
    assert(list()[0].status == ok && list()[1].status == ok);
    assert(list()[2].status == invalid && list()[3].status == invalid);
    write_list(DATA, 1, 0);
    put(DEL, 1, LIST, 1); /* another queue's */
    assert(pv_netback_control_pump(control, 16, loop.now) == 1 && take(DEL).data == 0);
    assert(list()[0].status == invalid && mapped() == 1);
    close_control();
}

/* Whatever the order in which they come and go, those that are there are found. */
static void test_any_order(void)
{
    static bool added[GUEST_PAGES];
    uint32_t seed = 1, count = 0;
    open_control();
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245 + 12345;
        grant_ref_t ref = DATA + (seed >> 8) % 600;
        write_list(ref, 1, 0);
        if (added[ref]) {
            assert(del(1) == 1);
            count--;
        } else {
            bool room = count < LIMIT;
            assert(ask(ADD, 0, LIST, 1) == (room ? ok : invalid));
            count += room;
            if (!room)
                continue;
        }
        added[ref] = !added[ref];
        assert(mapped() == count);
    }
    close_control();
}

/* ---- packets --------------------------------------------------------------------------------- */

static void fill(grant_ref_t ref, uint8_t value)
{
    memset(loopback_page(&loop, ref), value, 4096);
}

static void test_tx(void)
{
    open_control();
    assert(add(DATA, 1, readonly) == ok);
    fill(DATA, 1), fill(DATA + 1, 2);
    loop.copies = 0;
    tx_put_request(&loop, DATA, 100, 300, NETTXF_more_data);
    tx_put_request(&loop, DATA + 1, 0, 100, 0); /* no static grant */
    tx_put_request(&loop, DATA, 4000, 96, 0);
    assert(loopback_pump(&loop) == 2);
    assert(loop.uplink.sent_count == 2 && loop.copies == 1);
    const struct pv_packet *packet = loop.uplink.sent[0];
    assert(packet->length == 300 && packet->data[0] == 1 && packet->data[199] == 1);
    assert(packet->data[200] == 2 && packet->data[299] == 2);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.static_copies == 2 && stats.grant_copies == 1 && stats.bytes_copied == 396);
    write_list(DATA, 1, 0);
    assert(del(1) == 1);
    tx_put_request(&loop, DATA, 0, 100, 0); /* goes on as any other grant */
    loop.copies = 0;
    assert(loopback_pump(&loop) == 1 && loop.copies == 1);
    close_control();
}

/* More than are made together. */
static void test_many_slots(void)
{
    open_control();
    assert(add(DATA, 17, readonly) == ok);
    for (grant_ref_t i = 0; i < 17; i++)
        fill(DATA + i, (uint8_t)i);
    for (int packet = 0; packet < 14; packet++)
        for (grant_ref_t i = 0; i < 17; i++)
            tx_put_request(&loop, DATA + i, (uint16_t)packet, i == 0 ? 1700 : 100,
                           i < 16 ? NETTXF_more_data : 0);
    loop.copies = 0;
    assert(loopback_pump(&loop) == 14 && loop.copies == 0);
    for (uint32_t packet = 0; packet < 14; packet++)
        for (uint32_t i = 0; i < 1700; i++)
            assert(loop.uplink.sent[packet]->data[i] == i / 100);
    assert(loopback_stats(&loop).static_copies == 14 * 17);
    assert(loopback_stats(&loop).bytes_copied == 14 * 1700);
    close_control();
}

static void test_rx(void)
{
    open_control();
    assert(add(DATA, 1, 0) == ok && add(DATA + 1, 1, readonly) == ok);
    rx_post(&loop, 0, 3);
    loop.copies = 0;
    for (int i = 0; i < 3; i++)
        uplink_queue(&loop, 200);
    assert(loopback_pump(&loop) == 3);
    for (grant_ref_t i = 0; i < 3; i++) {
        rx_expect(&loop, 0, 200);
        assert(loopback_page(&loop, DATA + i)[199] == (uint8_t)(199 * 7 + 200));
    }
    assert(loop.copies == 2); /* a page that is mapped to be read is written by the hypervisor */
    assert(loopback_stats(&loop).static_copies == 1);
    close_control();
}

/* A slot that leaves its page is as fatal as ever. */
static void test_page_is_the_limit(void)
{
    open_control();
    assert(add(DATA, 1, 0) == ok);
    tx_put_request(&loop, DATA, 4000, 97, 0);
    assert(loopback_pump(&loop) == -EPROTO);
    assert(loopback_stats(&loop).static_copies == 0);
    close_control();
}

/* ---- lives ----------------------------------------------------------------------------------- */

/* A successor has no maps. The guest may take back what it has given to its predecessor. */
static void test_successor(void)
{
    open_control();
    assert(add(DATA, 3, 0) == ok);
    pv_netback_control_destroy(control);
    pv_netback_queue_destroy(loop.back[0]);
    pv_netback_vif_destroy(loop.vif);
    assert(loop.mapped == 0);
    loop.config.resumed = true;
    loopback_connect(&loop);
    connect_control();
    write_list(DATA, 3, 0);
    assert(del(3) == 3 && list()[0].status == ok && list()[2].status == ok);
    assert(add(DATA, 3, 0) == ok && mapped() == 3 && del(3) == 3);
    close_control();
}

static void *change_grants(void *argument)
{
    (void)argument;
    for (int round = 0; round < 3000; round++) {
        assert(add(DATA, 4, 0) == ok);
        assert(del(4) == 4);
    }
    return NULL;
}

/* What a batch uses is not unmapped before it is over; the thread sanitizer watches the table. */
static void test_threads(void)
{
    pthread_t thread;
    open_control();
    rx_post(&loop, 0, 200);
    assert(pthread_create(&thread, NULL, change_grants, NULL) == 0);
    for (int round = 0; round < 3000; round++) {
        tx_put_request(&loop, DATA + round % 4, 0, 60, 0);
        uplink_queue(&loop, 60);
        assert(loopback_pump(&loop) == 2);
        tx_take(&loop);
        rx_expect(&loop, 0, 60);
        rx_post(&loop, 0, 1);
        uplink_forget(&loop);
    }
    assert(pthread_join(thread, NULL) == 0);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.static_copies + stats.grant_copies == 6000);
    close_control();
}

int main(void)
{
    test_limit(PV_ABI_X86_64, LIMIT);
    test_limit(PV_ABI_IA64, 4 * LIMIT);
    test_xsa_300_full();
    test_whole_or_nothing();
    test_list_pages();
    test_status_of_each();
    test_any_order();
    test_tx();
    test_many_slots();
    test_rx();
    test_page_is_the_limit();
    test_successor();
    test_threads();
    return 0;
}
