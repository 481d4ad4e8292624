/* A guest's stack between an uplink and a backend that sends everything back. */
#include "frontends/vnif/c/fake_netback.h"
#include "tools/pvbench/load/guest_stack.h"

#define FRAMES 1000u
#define SIZE 100u

/* Gives numbered frames, and looks whether they come back in order. */
struct numbers {
    struct pv_uplink uplink; /* first */
    uint32_t given, back, empty_looks;
    uint32_t odd; /* this one asks for an offload that is not agreed */
    bool armed;
};

static uint32_t give_numbers(struct pv_uplink *uplink, uint32_t queue,
                             struct pv_packet_cache *cache, struct pv_packet **packets,
                             uint32_t count, uint64_t now)
{
    struct numbers *numbers = (struct numbers *)uplink;
    uint32_t made = 0;
    assert(queue == 3 && now == 7);
    numbers->empty_looks += count == 0;
    for (; made < count && numbers->given < FRAMES; made++, numbers->given++) {
        struct pv_packet *packet = packets[made] = pv_packet_alloc(cache, SIZE);
        memset(packet->data, 0, SIZE);
        memcpy(packet->data + 20, &numbers->given, sizeof numbers->given);
        packet->length = SIZE;
        packet->csum_blank = numbers->given == numbers->odd;
    }
    return made;
}

static void take_back(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                      struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct numbers *numbers = (struct numbers *)uplink;
    assert(queue == 3 && now == 7);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number;
        memcpy(&number, packets[i]->data + 20, sizeof number);
        numbers->back += numbers->back == numbers->odd; /* which never comes */
        assert(packets[i]->length == SIZE && number == numbers->back++);
    }
    pv_packet_release(cache, packets, count);
}

static bool arm_numbers(struct pv_uplink *uplink, uint32_t queue)
{
    struct numbers *numbers = (struct numbers *)uplink;
    numbers->armed = true;
    return queue == 3 && numbers->given < FRAMES;
}

static int no_fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    return -1;
}

static const struct pv_uplink_ops numbers_ops = {
    .receive = give_numbers, .send = take_back, .arm = arm_numbers, .fd = no_fd};

static bool backend_sleeps;

static void turn(struct fake_guest *guest)
{
    static struct sent sent;
    struct fake_netback *netback = (struct fake_netback *)guest;
    if (backend_sleeps)
        return;
    while (pv_back_unconsumed_requests(&netback->tx) > 0 &&
           pv_back_unconsumed_requests(&netback->rx) > 0) {
        struct netif_rx_request request;
        netback_take(netback, &sent);
        answer_packet(netback, &sent, NETIF_RSP_OKAY);
        memcpy(next_buffer(netback, &request), sent.data, sent.length);
        struct netif_rx_response response = {.id = request.id, .status = (int16_t)sent.length};
        put_response(netback, &response);
    }
    push_rx(netback);
}

static void run(uint32_t odd, bool backend_is_late)
{
    struct pv_netfront_features features = {.sg = true};
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, features);
    struct numbers numbers = {.uplink = {.ops = &numbers_ops, .pool = netback->pool, .queues = 4},
                              .odd = odd};
    struct pv_guest_stack_config config = {.hypervisor = &netback->guest.hypervisor,
                                           .evtchn = (struct pv_evtchn *)netback,
                                           .front = netback->queue,
                                           .uplink = &numbers.uplink,
                                           .pool = netback->pool,
                                           .queue = 3};
    struct pv_guest_stack *stack = pv_guest_stack_create(&config);
    struct pv_pollable *pollable = pv_guest_stack_pollable(stack);
    backend_sleeps = backend_is_late;
    assert(pollable->fd == -1 && pollable->ops->deadline(pollable) == UINT64_MAX);
    for (int pumps = 0; pumps < 1000; pumps++) {
        assert(pollable->ops->pump(pollable, 48, 7) >= 0);
        if (backend_sleeps && pumps == 100) { /* the ring is long full */
            assert(numbers.given < FRAMES && numbers.empty_looks > 0 && !numbers.armed);
            assert(!pollable->ops->arm(pollable) && !numbers.armed);
            backend_sleeps = false;
        }
        turn(&netback->guest);
    }
    assert(numbers.given == FRAMES && numbers.back == FRAMES);
    assert(pv_guest_stack_refused(stack) == (odd < FRAMES));
    assert(!pollable->ops->arm(pollable) && numbers.armed);
    pv_guest_stack_destroy(stack);
    netback_destroy(netback, 0);
}

int main(void)
{
    run(UINT32_MAX, false);
    run(UINT32_MAX, true);
    run(500, false);
    return 0;
}
