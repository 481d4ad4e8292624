/* The response log by itself: what a successor finds on the ring after its backend was killed at
 * any of its stores, for any size of responses. */
#include "pvdrivers/backends/response_log.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

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

static uint32_t choose(uint64_t *random, uint32_t count)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % count;
}

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

static bool next_stop(pid_t scenario, enum __ptrace_request how)
{
    int status;
    assert(ptrace(how, scenario, 0, 0) == 0 && waitpid(scenario, &status, 0) == scenario);
    assert(WIFSTOPPED(status) ? WSTOPSIG(status) == SIGTRAP : status == 0);
    return WIFSTOPPED(status);
}

static unsigned kill_everywhere(struct world *world, pid_t scenario)
{
    static struct world copy, last;
    unsigned kills = 0;
    while (next_stop(scenario, PTRACE_CONT)) {
        for (; world->stepping; next_stop(scenario, PTRACE_SINGLESTEP)) {
            if (memcmp(&last, world, offsetof(struct world, front)) == 0)
                continue;
            copy = last = *world;
            go_on(&copy);
            kills++;
        }
    }
    return kills;
}

static void test_kills(uint64_t seed)
{
    struct world *world =
        mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(world != MAP_FAILED);
    begin(world, UINT32_MAX - 5); /* indices come round on the way */
    pid_t scenario = fork();
    assert(scenario >= 0);
    if (scenario == 0) {
        assert(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGTRAP);
        run_scenario(world, seed);
        _exit(0);
    }
    int status;
    assert(waitpid(scenario, &status, 0) == scenario && WIFSTOPPED(status));
    assert(kill_everywhere(world, scenario) > 3 * ROUNDS);
    assert(munmap(world, sizeof *world) == 0);
}

/* One thread and many steps: nothing for the thread sanitizer to see. */
#ifdef __SANITIZE_THREAD__
#define SEEDS 0
#else
#define SEEDS 4
#endif

int main(void)
{
    test_sizes();
    test_refused();
    for (int seed = 0; seed < SEEDS; seed++)
        test_kills((uint64_t)seed);
    return 0;
}
