/* The pumping thread and a guest that never stops notifying: every look at the event channel finds
 * another event, and the queues are pumped all the same. */
#include "loopback.h"

#include <sys/eventfd.h>

#define ENOUGH 1000u

static unsigned looks;
static uint32_t stop;
static struct loopback loop;

static void ask(void)
{
    const struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    loopback_put(&loop, &request);
    pv_front_push_requests(&loop.front);
}

/* Asks for something beside the noise. */
static int always_pending(struct pv_evtchn *handle)
{
    assert((void *)handle == &loop);
    if (++looks == 1)
        ask();
    assert(looks < ENOUGH); /* what was asked must have been served long before */
    return 5;
}

static int unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert((void *)handle == &loop && port == 5);
    return 0;
}

static int always_readable(struct pv_evtchn *handle)
{
    static int fd = -1;
    assert((void *)handle == &loop);
    if (fd < 0)
        fd = eventfd(1, 0);
    return fd;
}

static int answered(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct pv_blkif_response response;
    assert((void *)handle == &loop && port == 5);
    assert(loopback_take(&loop, &response) && response.status == BLKIF_RSP_OKAY);
    pv_store_release(&stop, 1);
    return 0;
}

int main(void)
{
    struct pv_blk_store *store = pv_ram_store_create(64, 512);
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, store);
    struct pv_hypervisor_ops ops = fake_ops;
    ops.evtchn_pending = always_pending;
    ops.evtchn_unmask = unmask;
    ops.evtchn_fd = always_readable;
    ops.evtchn_notify = answered;
    loop.hypervisor.ops = &ops;
    loopback_connect(&loop, &config);
    assert(pv_blkback_run(&loop.back, 1, PV_BLKBACK_EVENT, &stop) == 0);
    loopback_close(&loop);
    close(always_readable((struct pv_evtchn *)&loop));
    return 0;
}
