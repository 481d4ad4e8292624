/*
 * A front thread and a back thread on one small ring, sleeping on eventfds by the event index
 * alone: a lost wake-up hangs it, an unordered slot gives a wrong value or a report of TSan.
 */
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REQUESTS = 100000, SLOT = 16, SLOTS = 4, HUNG_MS = 60000 };

static const uint32_t START = UINT32_MAX - REQUESTS / 2; /* indices wrap half-way */

struct slot {
    uint64_t id, check;
};

static struct pv_sring *sring;
static int to_back, to_front;

static void notify(int event)
{
    assert(eventfd_write(event, 1) == 0);
}

static void sleep_until_notified(int event)
{
    struct pollfd poll_event = {.fd = event, .events = POLLIN};
    eventfd_t count;

    assert(poll(&poll_event, 1, HUNG_MS) == 1 && "lost wake-up");
    assert(eventfd_read(event, &count) == 0);
}

static uint64_t scrambled(uint64_t id)
{
    return id * 0x9e3779b97f4a7c15u;
}

static void *run_back(void *argument)
{
    struct pv_back_ring back;

    (void)argument;
    pv_back_ring_attach(&back, sring, PV_SRING_HEADER_SIZE + SLOTS * SLOT, SLOT, START);
    for (uint64_t taken = 0; taken < REQUESTS;) {
        int ready = pv_back_unconsumed_requests(&back);
        assert(ready >= 0);
        for (int i = 0; i < ready; i++, taken++) {
            struct slot slot;
            pv_back_copy_request(&back, back.req_cons++, &slot, sizeof(slot));
            assert(slot.id == taken && slot.check == scrambled(taken));
            slot.check = ~slot.check;
            memcpy(pv_back_response_slot(&back, back.rsp_prod_pvt++), &slot, sizeof(slot));
        }
        if (ready > 0 && pv_back_push_responses(&back))
            notify(to_front);
        if (taken < REQUESTS && !pv_back_final_check(&back))
            sleep_until_notified(to_back);
    }
    return NULL;
}

static uint64_t fill(struct pv_front_ring *front, uint64_t asked)
{
    while (asked < REQUESTS && pv_front_free_requests(front) > 0) {
        struct slot slot = {asked, scrambled(asked)};
        memcpy(pv_front_request_slot(front, front->req_prod_pvt++), &slot, sizeof(slot));
        asked++;
    }
    return asked;
}

static void run_front(void)
{
    struct pv_front_ring front;
    uint64_t asked = 0;

    pv_front_ring_attach(&front, sring, PV_SRING_HEADER_SIZE + SLOTS * SLOT, SLOT, START);
    for (uint64_t answered = 0; answered < REQUESTS;) {
        asked = fill(&front, asked);
        if (pv_front_push_requests(&front))
            notify(to_back);
        int ready = pv_front_unconsumed_responses(&front);
        assert(ready >= 0);
        for (int i = 0; i < ready; i++, answered++) {
            struct slot slot;
            pv_front_copy_response(&front, front.rsp_cons++, &slot, sizeof(slot));
            assert(slot.id == answered && slot.check == ~scrambled(answered));
        }
        if (answered < REQUESTS && ready == 0 && !pv_front_final_check(&front))
            sleep_until_notified(to_front);
    }
}

int main(void)
{
    pthread_t back;

    sring = aligned_alloc(64, PV_SRING_HEADER_SIZE + SLOTS * SLOT);
    to_back = eventfd(0, EFD_CLOEXEC);
    to_front = eventfd(0, EFD_CLOEXEC);
    assert(sring && to_back >= 0 && to_front >= 0);
    pv_sring_init(sring);
    sring->req_prod = sring->rsp_prod = START;
    sring->req_event = sring->rsp_event = START + 1;

    assert(pthread_create(&back, NULL, run_back, NULL) == 0);
    run_front();
    assert(pthread_join(back, NULL) == 0);
    assert(sring->req_prod == START + REQUESTS && sring->rsp_prod == START + REQUESTS);
    close(to_back);
    close(to_front);
    free(sring);
    return 0;
}
