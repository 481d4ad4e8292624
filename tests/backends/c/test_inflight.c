/* The in-flight log by itself, on a ring of slots that are no protocol's: what it says after a
 * backend is gone, for any size of slots. */
#include "pvdrivers/backends/inflight.h"

#include <stdlib.h>

#define SLOTS 8u

struct fixture {
    uint8_t page[4096];
    struct pv_front_ring front;
    struct pv_back_ring back;
    struct pv_inflight_log *log;
    struct pv_inflight_identity identity;
};

static void set_up(struct fixture *f, uint32_t slot_size, uint32_t first_index)
{
    struct pv_sring *sring = (struct pv_sring *)f->page;
    size_t area = PV_SRING_HEADER_SIZE + SLOTS * slot_size;
    memset(f, 0, sizeof *f);
    pv_sring_init(sring);
    sring->req_prod = sring->rsp_prod = first_index;
    pv_front_ring_attach(&f->front, sring, area, slot_size, first_index);
    pv_back_ring_attach(&f->back, sring, area, slot_size, first_index);
    assert(f->back.nr_ents == SLOTS);
    size_t size = pv_inflight_size(SLOTS, slot_size);
    f->log = aligned_alloc(PV_INFLIGHT_ALIGNMENT, size);
    memset(f->log, 0, size);
    f->identity = (struct pv_inflight_identity){
        .frontend = 7, .remote_port = 3, .ring_pages = 1, .ring_refs = {42}};
    assert(!pv_inflight_has_begun(f->log));
    assert(pv_inflight_attach(f->log, &f->identity, &f->back) == 0);
    assert(pv_inflight_has_begun(f->log));
}

static void put(struct fixture *f, uint32_t count)
{
    for (; count > 0; count--) {
        uint32_t index = f->front.req_prod_pvt++;
        memset(pv_front_request_slot(&f->front, index), (int)(index & 0xff), f->front.slot_size);
    }
    pv_front_push_requests(&f->front);
}

static struct pv_inflight_entry *entry(struct fixture *f, uint32_t number)
{
    return pv_inflight_entry(f->log, &f->back, number);
}

static void take(struct fixture *f, uint32_t number)
{
    pv_back_copy_request(&f->back, f->back.req_cons, entry(f, number)->slot, f->back.slot_size);
    pv_inflight_take(f->log, entry(f, number), &f->back);
}

static void answer(struct fixture *f, uint32_t number)
{
    void *slot = pv_back_response_slot(&f->back, f->back.rsp_prod_pvt);
    memset(slot, 0xee, f->back.slot_size); /* over a request that may still be in flight */
    pv_inflight_answer(entry(f, number), f->back.rsp_prod_pvt++);
}

static void publish(struct fixture *f)
{
    pv_back_push_responses(&f->back);
}

/* The next backend knows of the earlier one what lies in shared memory, and nothing more. */
static int attach_successor(struct fixture *f)
{
    struct pv_sring *sring = f->back.sring;
    f->back.rsp_prod_pvt = f->back.req_cons = sring->rsp_prod;
    int count = pv_inflight_check(f->log, &f->identity, &f->back);
    assert(pv_inflight_attach(f->log, &f->identity, &f->back) == count);
    return count;
}

/* Checks which entries are to be begun again, in order, and that all others are free. */
static void expect_walk(struct fixture *f, const int *numbers, int count)
{
    int walked = 0;
    for (int i = -1; (i = pv_inflight_next(f->log, &f->back, i)) >= 0; walked++)
        assert(walked < count && i == numbers[walked]);
    assert(walked == count);
    for (uint32_t i = 0; i < SLOTS; i++)
        walked -= entry(f, i)->state == PV_INFLIGHT_TAKEN;
    assert(walked == 0);
}

static void test_sizes(void)
{
    assert(sizeof(struct pv_inflight_log) == 128); /* what later versions find */
    assert(pv_inflight_size(32, 112) == 128 + 32 * 128);
    assert(pv_inflight_size(32, 108) == 128 + 32 * 128);
    assert(pv_inflight_size(256, 12) == 128 + 256 * 64);
    assert(pv_inflight_size(1, 49) == 128 + 128);
    /* Logs lie side by side in a file, and the next one is aligned too. */
    assert(pv_inflight_size(1, 24) == 128 + 128);
}

/* Answers overtake each other, and indices come round: the walk is in the ring's order, over the
 * private copies. */
static void test_order(uint32_t slot_size, uint32_t first)
{
    static struct fixture f;
    set_up(&f, slot_size, first);
    put(&f, 6);
    static const uint32_t entries[] = {5, 0, 7, 2, 3, 6};
    for (int i = 0; i < 6; i++)
        take(&f, entries[i]);
    answer(&f, 0);
    answer(&f, 3);
    publish(&f);
    pv_inflight_forget(entry(&f, 0)); /* and 3 not any more: the backend was killed */
    assert(attach_successor(&f) == 4);
    expect_walk(&f, (int[]){5, 7, 2, 6}, 4);
    uint8_t expected[4] = {(uint8_t)first, (uint8_t)(first + 2), (uint8_t)(first + 3),
                           (uint8_t)(first + 5)};
    int walked = 0;
    for (int i = -1; (i = pv_inflight_next(f.log, &f.back, i)) >= 0; walked++)
        for (uint32_t byte = 0; byte < slot_size; byte++)
            assert(entry(&f, (uint32_t)i)->slot[byte] == expected[walked]);
    assert(f.back.req_cons == first + 6 && f.back.rsp_prod_pvt == first + 2);
    free(f.log);
}

/* A response that was written and not published has not reached the frontend. */
static void test_unpublished(void)
{
    static struct fixture f;
    set_up(&f, 16, 0);
    put(&f, 3);
    for (uint32_t i = 0; i < 3; i++)
        take(&f, i);
    answer(&f, 0);
    publish(&f);
    answer(&f, 1);
    assert(attach_successor(&f) == 2);
    expect_walk(&f, (int[]){1, 2}, 2);
    free(f.log);
}

/* Killed between the two stores of taking one: it is still on the ring, and only there. */
static void test_half_taken(void)
{
    static struct fixture f;
    set_up(&f, 16, 0);
    put(&f, 2);
    take(&f, 0);
    entry(&f, 1)->request = f.back.req_cons;
    entry(&f, 1)->state = PV_INFLIGHT_TAKEN;
    assert(attach_successor(&f) == 1);
    expect_walk(&f, (int[]){0}, 1);
    assert(pv_back_unconsumed_requests(&f.back) == 1);
    free(f.log);
}

/* A backend that ended in order leaves a log with nothing in it. */
static void test_nothing_left(void)
{
    static struct fixture f;
    set_up(&f, 16, 0);
    put(&f, 1);
    take(&f, 4);
    answer(&f, 4);
    publish(&f);
    pv_inflight_forget(entry(&f, 4));
    assert(attach_successor(&f) == 0);
    expect_walk(&f, NULL, 0);
    free(f.log);
}

static void expect_stale(struct fixture *f, const struct pv_inflight_identity *identity)
{
    struct pv_back_ring ring = f->back;
    assert(pv_inflight_check(f->log, identity, &ring) == -ESTALE);
    assert(pv_inflight_attach(f->log, identity, &ring) == -ESTALE);
    assert(ring.req_cons == f->back.req_cons && entry(f, 0)->state == PV_INFLIGHT_TAKEN);
}

/* A log of another connection, or one that contradicts the ring, is refused and left alone. */
static void test_refused(void)
{
    static struct fixture f;
    set_up(&f, 16, 0);
    put(&f, 2);
    take(&f, 0);
    take(&f, 1);
    f.back.req_cons = f.back.rsp_prod_pvt = 0;
    struct pv_inflight_identity other;
    other = f.identity, other.frontend++;
    expect_stale(&f, &other);
    other = f.identity, other.abi++;
    expect_stale(&f, &other);
    other = f.identity, other.remote_port++;
    expect_stale(&f, &other);
    other = f.identity, other.ring_pages++;
    expect_stale(&f, &other);
    other = f.identity, other.ring_refs[PV_INFLIGHT_MAX_RING_PAGES - 1]++;
    expect_stale(&f, &other);

    f.log->magic++;
    expect_stale(&f, &f.identity);
    f.log->magic--;
    f.back.req_cons = f.back.rsp_prod_pvt = 1; /* the ring says one less is unanswered */
    expect_stale(&f, &f.identity);
    f.back.req_cons = f.back.rsp_prod_pvt = 0;
    entry(&f, 1)->state = 7;
    expect_stale(&f, &f.identity);
    entry(&f, 1)->state = PV_INFLIGHT_TAKEN;
    f.back.sring->req_prod = 1; /* less than was taken */
    assert(pv_inflight_attach(f.log, &f.identity, &f.back) == -EIO);
    f.back.sring->req_prod = 2;
    assert(attach_successor(&f) == 2);
    free(f.log);
}

/* Not the log's doing: two entries of one index. Each is in flight, so each is walked. */
static void test_damaged(void)
{
    static struct fixture f;
    set_up(&f, 16, 0);
    put(&f, 3);
    for (uint32_t i = 0; i < 3; i++)
        take(&f, i);
    entry(&f, 2)->request = 0;
    assert(attach_successor(&f) == 3);
    expect_walk(&f, (int[]){0, 2, 1}, 3);
    free(f.log);
}

int main(void)
{
    test_sizes();
    test_order(112, 0);
    test_order(12, UINT32_MAX - 2);
    test_unpublished();
    test_half_taken();
    test_nothing_left();
    test_refused();
    test_damaged();
    return 0;
}
