/* The response log by itself: what a successor finds on the ring after its backend was killed at
 * any of its stores, for any size of responses. */
#include "pvdrivers/backends/response_log.h"
#include "tests/backends/c/kills.h"

#define SLOTS 8u
#define SLOT_SIZE 16u
#define LOG_SIZE 256u

struct world {
    _Alignas(4096) uint8_t log[LOG_SIZE];
    _Alignas(4096) uint8_t page[4096];
    struct pv_front_ring front;
    uint32_t answers; /* that the frontend has taken */
    bool stepping;
};

static const struct pv_response_log_identity identity = {
    .frontend = 7, .remote_port = 3, .ring_ref = 42, .response_size = 4};

static struct pv_response_log *log_of(struct world *world)
{
    return (struct pv_response_log *)world->log;
}

static size_t area(void)
{
    return PV_SRING_HEADER_SIZE + SLOTS * SLOT_SIZE;
}

static void begin(struct world *world, uint32_t index)
{
    struct pv_sring *sring = (struct pv_sring *)world->page;
    memset(world, 0, sizeof *world);
    pv_sring_init(sring);
    sring->req_prod = sring->rsp_prod = index;
    pv_front_ring_attach(&world->front, sring, area(), SLOT_SIZE, index);
}

/* The next backend knows of the earlier one what lies in shared memory, and nothing more. */
static struct pv_back_ring backend(struct world *world)
{
    struct pv_sring *sring = (struct pv_sring *)world->page;
    struct pv_back_ring back;
    pv_back_ring_attach(&back, sring, area(), SLOT_SIZE, sring->rsp_prod);
    return back;
}

/* Requests say their index; a response says its request's, so no request may be lost. */
static void put(struct world *world, uint32_t count)
{
    world->front.sring = (struct pv_sring *)world->page;
    for (; count > 0; count--) {
        uint32_t index = world->front.req_prod_pvt++;
        uint32_t *slot = pv_front_request_slot(&world->front, index);
        slot[0] = ~index, slot[1] = index;
    }
    pv_front_push_requests(&world->front);
}

static void take(struct world *world)
{
    world->front.sring = (struct pv_sring *)world->page;
    int ready = pv_front_unconsumed_responses(&world->front);
    assert(ready >= 0);
    for (; ready > 0; ready--, world->answers++) {
        uint32_t index = world->front.rsp_cons++, answer;
        pv_front_copy_response(&world->front, index, &answer, sizeof answer);
        assert(answer == index * 3);
    }
}

/* One batch of at most `most`. */
static uint32_t serve(struct world *world, struct pv_back_ring *back, uint32_t most)
{
    int ready = pv_back_unconsumed_requests(back);
    assert(ready >= 0);
    uint32_t count = (uint32_t)ready < most ? (uint32_t)ready : most;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t request[4];
        pv_back_copy_request(back, back->req_cons, request, sizeof request);
        assert(request[0] == ~back->req_cons && request[1] == back->req_cons);
        uint32_t answer = back->req_cons++ * 3;
        memcpy(pv_response_log_slot(log_of(world), back, back->rsp_prod_pvt++, sizeof answer),
               &answer, sizeof answer);
    }
    if (count)
        pv_response_log_push(log_of(world), back, sizeof(uint32_t));
    return count;
}

/* ---- what a log is --------------------------------------------------------------------------- */

static void test_sizes(void)
{
    assert(sizeof(struct pv_response_log) == 64); /* what later versions find */
    assert(pv_response_log_size(256, 4) == 64 + 1024);
    assert(pv_response_log_size(8, 12) == 64 + 128);
    assert(pv_response_log_size(SLOTS, 4) <= LOG_SIZE);
}

static void expect_status(struct world *world, const struct pv_response_log_identity *other,
                          int status)
{
    struct pv_back_ring back = backend(world), before = back;
    assert(pv_response_log_check(log_of(world), other, &back) == status);
    assert(pv_response_log_attach(log_of(world), other, &back) == status);
    if (status < 0)
        assert(memcmp(&back, &before, sizeof back) == 0);
}

/* A log of another connection, or one that contradicts the ring, is refused and left alone. */
static void test_refused(void)
{
    static struct world world;
    begin(&world, 5);
    struct pv_back_ring back = backend(&world);
    assert(pv_response_log_check(log_of(&world), &identity, &back) == -ESTALE);
    assert(!pv_response_log_has_begun(log_of(&world)));
    assert(pv_response_log_attach(log_of(&world), &identity, &back) == 0);
    assert(pv_response_log_has_begun(log_of(&world)));
    put(&world, 4);
    serve(&world, &back, 3);
    expect_status(&world, &identity, 0);

    struct pv_response_log_identity other;
    other = identity, other.frontend++;
    expect_status(&world, &other, -ESTALE);
    other = identity, other.remote_port++;
    expect_status(&world, &other, -ESTALE);
    other = identity, other.ring_ref++;
    expect_status(&world, &other, -ESTALE);
    other = identity, other.response_size++;
    expect_status(&world, &other, -ESTALE);

    struct pv_sring *sring = back.sring;
    log_of(&world)->magic++;
    expect_status(&world, &identity, -ESTALE);
    log_of(&world)->magic--;
    sring->rsp_prod = 9; /* more than was answered */
    expect_status(&world, &identity, -ESTALE);
    sring->rsp_prod = 8 - SLOTS - 1; /* a batch is no larger than the ring */
    expect_status(&world, &identity, -ESTALE);
    sring->rsp_prod = 8;
    sring->req_prod = 7; /* less than was answered */
    expect_status(&world, &identity, -EIO);
    sring->req_prod = 9;
    expect_status(&world, &identity, 0);
}

/* ---- kills ----------------------------------------------------------------------------------- */

/* The successor of a backend that is killed here. */
static void go_on(struct world *world)
{
    struct pv_back_ring back = backend(world);
    assert(pv_response_log_attach(log_of(world), &identity, &back) == 0);
    while (serve(world, &back, SLOTS))
        ;
    take(world);
    put(world, 2);
    serve(world, &back, 2);
    take(world);
    assert(world->front.rsp_cons == world->front.req_prod_pvt);
}

#define ROUNDS 12

/* Its own backend is lost in the middle too, so that the next is killed while it attaches. */
static void run_scenario(struct world *world, uint64_t random)
{
    struct pv_back_ring back = {0};
    for (int round = 0; round < ROUNDS; round++) {
        put(world, choose(&random, pv_front_free_requests(&world->front) + 1));
        world->stepping = true;
        raise(SIGTRAP);
        if (round == 0 || choose(&random, 3) == 0) {
            back = backend(world);
            assert(pv_response_log_attach(log_of(world), &identity, &back) == 0);
        }
        serve(world, &back, choose(&random, SLOTS + 1));
        world->stepping = false;
        if (choose(&random, 2))
            take(world);
    }
}

static void test_kills(uint64_t seed)
{
    static const struct kill_test test = {.size = sizeof(struct world),
                                          .watched = offsetof(struct world, front),
                                          .stepping = offsetof(struct world, stepping),
                                          .run = run_scenario,
                                          .go_on = go_on};
    struct world *world = make_world(&test);
    begin(world, UINT32_MAX - 5); /* indices come round on the way */
    assert(kill_everywhere(&test, world, seed) > 3 * ROUNDS);
}

int main(void)
{
    test_sizes();
    test_refused();
    for (int seed = 0; seed < (STEPPING ? 4 : 0); seed++)
        test_kills((uint64_t)seed);
    return 0;
}
