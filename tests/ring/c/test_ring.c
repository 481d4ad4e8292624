/* The halves of a ring: sizes, wrap of slots and indices, overrun in both directions, notification.
 */
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <stdlib.h>

enum { PAGE = 4096, SLOT = 112, SLOTS = 32 };

struct loop {
    struct pv_sring *sring;
    struct pv_front_ring front;
    struct pv_back_ring back;
};

/* A ring of one page, exactly as large, so that ASan sees a step beyond it. */
static struct loop loop_new(uint32_t index)
{
    struct loop loop = {.sring = aligned_alloc(64, PAGE)};

    pv_sring_init(loop.sring);
    loop.sring->req_prod = loop.sring->rsp_prod = index;
    loop.sring->req_event = loop.sring->rsp_event = index + 1;
    pv_front_ring_attach(&loop.front, loop.sring, PAGE, SLOT, index);
    pv_back_ring_attach(&loop.back, loop.sring, PAGE, SLOT, index);
    return loop;
}

static void write_request(struct loop *loop, uint64_t value)
{
    assert(pv_front_free_requests(&loop->front) > 0);
    void *slot = pv_front_request_slot(&loop->front, loop->front.req_prod_pvt++);
    memset(slot, (int)value, SLOT);
    memcpy(slot, &value, sizeof(value));
}

static uint64_t take_request(struct loop *loop)
{
    uint8_t copy[SLOT];
    uint64_t value;

    pv_back_copy_request(&loop->back, loop->back.req_cons++, copy, sizeof(copy));
    memcpy(&value, copy, sizeof(value));
    for (unsigned i = sizeof(value); i < SLOT; i++)
        assert(copy[i] == (uint8_t)value);
    return value;
}

static void write_response(struct loop *loop, uint64_t value)
{
    memcpy(pv_back_response_slot(&loop->back, loop->back.rsp_prod_pvt++), &value, sizeof(value));
}

static uint64_t take_response(struct loop *loop)
{
    uint64_t value;

    pv_front_copy_response(&loop->front, loop->front.rsp_cons++, &value, sizeof(value));
    return value;
}

static void test_entries(void)
{
    static const struct {
        size_t area;
        uint32_t slot, entries;
    } cases[] = {
        {4096, 112, 32},   {4096, 108, 32},  {16384, 112, 128}, {8192, 112, 64}, {65536, 112, 512},
        {65536, 108, 512}, {4096, 12, 256},  {16384, 12, 1024}, {4096, 8, 256},  {4096, 16, 128},
        {4096, 252, 16},   {16384, 252, 64}, {176, 112, 1},     {175, 112, 0},   {64, 8, 0},
        {0, 8, 0},         {64 + 16, 8, 2},  {64 + 31, 8, 2},   {64 + 32, 8, 4},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert(pv_ring_entries(cases[i].area, cases[i].slot) == cases[i].entries);
}

/* Full rings, several times round the slots, from just before an index wraps. */
static void test_wrap(uint32_t index)
{
    struct loop loop = loop_new(index);
    uint64_t value = 0;

    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < SLOTS; i++)
            write_request(&loop, value + i);
        assert(pv_front_free_requests(&loop.front) == 0);
        assert(pv_back_unconsumed_requests(&loop.back) == 0);
        pv_front_push_requests(&loop.front);
        assert(pv_back_unconsumed_requests(&loop.back) == SLOTS);
        for (unsigned i = 0; i < SLOTS; i++)
            assert(take_request(&loop) == value + i);
        assert(pv_back_unconsumed_requests(&loop.back) == 0);
        for (unsigned i = 0; i < SLOTS; i++)
            write_response(&loop, ~(value + i));
        pv_back_push_responses(&loop.back);
        assert(pv_front_unconsumed_responses(&loop.front) == SLOTS);
        for (unsigned i = 0; i < SLOTS; i++)
            assert(take_response(&loop) == ~(value + i));
        value += SLOTS;
    }
    assert(loop.front.req_prod_pvt == (uint32_t)(index + 5 * SLOTS));
    free(loop.sring);
}

static void test_frontend_overruns(uint32_t index)
{
    struct loop loop = loop_new(index);

    loop.sring->req_prod = index + SLOTS;
    assert(pv_back_unconsumed_requests(&loop.back) == SLOTS);
    loop.sring->req_prod = index + SLOTS + 1;
    assert(pv_back_unconsumed_requests(&loop.back) == -EPROTO);
    assert(pv_back_final_check(&loop.back)); /* so that the backend does not sleep over it */
    loop.sring->req_prod = index - 1;
    assert(pv_back_unconsumed_requests(&loop.back) == -EPROTO);

    /* With requests taken and not answered there is that much less room. */
    loop.sring->req_prod = index + 2;
    loop.back.req_cons = index + 2;
    assert(pv_back_unconsumed_requests(&loop.back) == 0);
    loop.sring->req_prod = index + 1; /* taken back behind what was consumed */
    assert(pv_back_unconsumed_requests(&loop.back) == -EPROTO);
    loop.sring->req_prod = index + SLOTS;
    assert(pv_back_unconsumed_requests(&loop.back) == SLOTS - 2);
    loop.sring->req_prod = index + SLOTS + 1;
    assert(pv_back_unconsumed_requests(&loop.back) == -EPROTO);
    free(loop.sring);
}

static void test_backend_overruns(uint32_t index)
{
    struct loop loop = loop_new(index);

    loop.sring->rsp_prod = index + 1; /* nothing was asked */
    assert(pv_front_unconsumed_responses(&loop.front) == -EPROTO);
    assert(pv_front_final_check(&loop.front));
    loop.sring->rsp_prod = index;
    write_request(&loop, 1);
    write_request(&loop, 2);
    pv_front_push_requests(&loop.front);
    loop.sring->rsp_prod = index + 2;
    assert(pv_front_unconsumed_responses(&loop.front) == 2);
    loop.sring->rsp_prod = index + 3;
    assert(pv_front_unconsumed_responses(&loop.front) == -EPROTO);
    loop.sring->rsp_prod = index - 1;
    assert(pv_front_unconsumed_responses(&loop.front) == -EPROTO);
    free(loop.sring);
}

static void test_notification(uint32_t index)
{
    struct loop loop = loop_new(index);

    /* The first request wakes; later ones do not until the backend asks again. */
    write_request(&loop, 1);
    assert(pv_front_push_requests(&loop.front));
    write_request(&loop, 2);
    assert(!pv_front_push_requests(&loop.front));
    assert(!pv_front_push_requests(&loop.front)); /* nothing new */

    /* Work waits: final_check neither sleeps nor asks. */
    take_request(&loop);
    assert(pv_back_final_check(&loop.back));
    assert(loop.sring->req_event == index + 1);
    take_request(&loop);
    assert(!pv_back_final_check(&loop.back));
    assert(loop.sring->req_event == index + 3);

    /* Passing the event in a batch wakes once. */
    write_request(&loop, 3);
    write_request(&loop, 4);
    assert(pv_front_push_requests(&loop.front));
    assert(pv_back_unconsumed_requests(&loop.back) == 2);

    /* Responses: as the frontend asked for the third only, the first two are silent. */
    loop.sring->rsp_event = index + 3;
    take_request(&loop);
    write_response(&loop, 1);
    write_response(&loop, 2);
    assert(!pv_back_push_responses(&loop.back));
    write_response(&loop, 3);
    assert(pv_back_push_responses(&loop.back));
    free(loop.sring);
}

int main(void)
{
    static const uint32_t starts[] = {0,          1,          0x7fffffe0, 0x7fffffff,
                                      0x80000000, 0xffffffc0, 0xfffffffe, 0xffffffff};

    test_entries();
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        test_wrap(starts[i]);
        test_frontend_overruns(starts[i]);
        test_backend_overruns(starts[i]);
        test_notification(starts[i]);
    }
    return 0;
}
