/* The xenstore page's two rings: wrap, bounds, broken indices, reconnection, and two threads. */
#include "pvdrivers/ring/xenstore_ring.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct xenstore_domain_interface *new_page(uint32_t start)
{
    struct xenstore_domain_interface *page = calloc(1, 4096);
    assert(page);
    page->req_cons = page->req_prod = start;
    page->rsp_cons = page->rsp_prod = start;
    return page;
}

static void test_bytes_survive_every_wrap(uint32_t start)
{
    struct xenstore_domain_interface *page = new_page(start);
    uint8_t next_in = 0, next_out = 0, chunk[XENSTORE_RING_SIZE];
    uint32_t pending = 0;
    srand(1);
    for (int round = 0; round < 5000; round++) {
        uint32_t len = (uint32_t)rand() % (sizeof chunk + 1);
        for (uint32_t i = 0; i < len; i++)
            chunk[i] = (uint8_t)(next_in + i);
        int written = pv_xenstore_write_request(page, chunk, len);
        uint32_t room = XENSTORE_RING_SIZE - pending;
        assert(written == (int)(len < room ? len : room));
        next_in = (uint8_t)(next_in + written);
        pending += (uint32_t)written;

        len = (uint32_t)rand() % (sizeof chunk + 1);
        int got = pv_xenstore_read_request(page, chunk, len);
        assert(got == (int)(len < pending ? len : pending));
        for (int i = 0; i < got; i++)
            assert(chunk[i] == next_out++);
        pending -= (uint32_t)got;
    }
    free(page);
}

static void test_the_other_direction(void)
{
    struct xenstore_domain_interface *page = new_page(UINT32_MAX - 2);
    char got[8] = {0};
    assert(pv_xenstore_response_room(page) == XENSTORE_RING_SIZE);
    assert(pv_xenstore_write_response(page, "answer", 6) == 6);
    assert(pv_xenstore_response_room(page) == XENSTORE_RING_SIZE - 6);
    assert(pv_xenstore_read_response(page, got, 4) == 4);
    assert(pv_xenstore_read_response(page, got + 4, 4) == 2);
    assert(!strcmp(got, "answer") && page->rsp_prod == 3);
    assert(pv_xenstore_read_response(page, got, 4) == 0);
    assert(page->req_prod == UINT32_MAX - 2);
    free(page);
}

static void test_broken_indices_move_nothing(void)
{
    static const uint32_t apart[] = {XENSTORE_RING_SIZE + 1, 0x80000000u, UINT32_MAX};
    for (unsigned i = 0; i < sizeof apart / sizeof *apart; i++) {
        struct xenstore_domain_interface *page = new_page(77);
        char byte = 0;
        page->req_prod = page->req_cons + apart[i];
        page->rsp_prod = page->rsp_cons + apart[i];
        struct xenstore_domain_interface before = *page;
        assert(pv_xenstore_write_request(page, &byte, 1) == -EPROTO);
        assert(pv_xenstore_read_request(page, &byte, 1) == -EPROTO);
        assert(pv_xenstore_write_response(page, &byte, 1) == -EPROTO);
        assert(pv_xenstore_read_response(page, &byte, 1) == -EPROTO);
        assert(pv_xenstore_response_room(page) == -EPROTO);
        assert(!memcmp(page, &before, sizeof before));
        free(page);
    }
}

static void test_reconnection(void)
{
    struct xenstore_domain_interface *page = new_page(5);
    char got[4];
    assert(pv_xenstore_write_request(page, "half", 4) == 4);
    assert(pv_xenstore_write_response(page, "half", 4) == 4);
    pv_xenstore_set_error(page, XENSTORE_ERROR_PROTO);
    assert(pv_xenstore_error(page) == XENSTORE_ERROR_PROTO);
    pv_xenstore_ask_reconnect(page);
    assert(pv_xenstore_connection(page) == XENSTORE_RECONNECT);
    pv_xenstore_accept(page, 15);
    assert(pv_xenstore_connection(page) == XENSTORE_CONNECTED);
    assert(pv_xenstore_features(page) == 15);
    assert(pv_xenstore_error(page) == XENSTORE_ERROR_NONE);
    assert(pv_xenstore_read_request(page, got, 4) == 0);
    assert(pv_xenstore_read_response(page, got, 4) == 0);
    free(page);
}

#define STREAM 200000u

static void *guest(void *argument)
{
    struct xenstore_domain_interface *page = argument;
    uint8_t chunk[100];
    for (uint32_t sent = 0; sent < STREAM;) {
        uint32_t len = STREAM - sent < sizeof chunk ? STREAM - sent : sizeof chunk;
        for (uint32_t i = 0; i < len; i++)
            chunk[i] = (uint8_t)((sent + i) * 7);
        int written = pv_xenstore_write_request(page, chunk, len);
        assert(written >= 0);
        sent += (uint32_t)written;
        if (!written)
            sched_yield();
    }
    return NULL;
}

static void test_two_threads(void)
{
    struct xenstore_domain_interface *page = new_page(UINT32_MAX - 500);
    uint8_t chunk[333];
    pthread_t thread;
    assert(!pthread_create(&thread, NULL, guest, page));
    for (uint32_t received = 0; received < STREAM;) {
        int got = pv_xenstore_read_request(page, chunk, sizeof chunk);
        assert(got >= 0);
        for (int i = 0; i < got; i++)
            assert(chunk[i] == (uint8_t)((received + (uint32_t)i) * 7));
        received += (uint32_t)got;
        if (!got)
            sched_yield();
    }
    assert(!pthread_join(thread, NULL));
    free(page);
}

int main(void)
{
    test_bytes_survive_every_wrap(0);
    test_bytes_survive_every_wrap(0x80000000u - 300);
    test_bytes_survive_every_wrap(UINT32_MAX - 300);
    test_the_other_direction();
    test_broken_indices_move_nothing();
    test_reconnection();
    test_two_threads();
    return 0;
}
