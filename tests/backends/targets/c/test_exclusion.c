/* Direct commands of several queues, each on a thread of its own, and a creator that needs the unit
 * for itself again and again: the two never meet. */
#include "pvdrivers/backends/targets/unit.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "pvdrivers/backends/stores/stores.h"

#define QUEUES 3
#define EXCLUSIONS 300

static struct pv_scsi_unit *unit;
static struct pv_scsi_nexus *nexuses[QUEUES];
static uint32_t done;
/* Plain memory, so that TSan sees when a direct command and the creator touch it without order. */
static uint64_t direct[QUEUES], alone;

static void command(unsigned own)
{
    if (!pv_scsi_direct_begin(nexuses[own], PV_SCSI_DIRECT_READ))
        return;
    uint64_t before = alone;
    direct[own]++;
    assert(alone == before);
    pv_scsi_direct_end(nexuses[own]);
}

/* Each command by itself, or runs of them between which the nexus stays counted in. */
static void *queue(void *argument)
{
    unsigned own = (unsigned)(uintptr_t)argument, run = own * own;
    while (!pv_load_acquire(&done)) {
        if (run > 1)
            pv_scsi_direct_begin(nexuses[own], 0);
        for (unsigned i = 0; i <= run; i++)
            command(own);
        if (run > 1)
            pv_scsi_direct_end(nexuses[own]);
    }
    return NULL;
}

/* As a creator does it: asks, and asks again when it is woken. */
static void exclude(void)
{
    struct pv_scsi_command *command;
    struct pollfd poll_fd = {.fd = pv_scsi_unit_fd(unit), .events = POLLIN};
    while (!pv_scsi_unit_exclude_direct(unit)) {
        assert(poll(&poll_fd, 1, 60000) == 1); /* else a wake-up was lost */
        assert(pv_scsi_unit_take(unit, &command, 1) == 0);
    }
}

static void permit(void)
{
    for (unsigned i = 0; i < QUEUES; i++)
        pv_scsi_nexus_permit(nexuses[i], true, false);
}

int main(void)
{
    struct pv_blk_store *store = pv_ram_store_create(8, 512);
    pthread_t threads[QUEUES];
    unit = pv_scsi_unit_create(store);
    for (unsigned i = 0; i < QUEUES; i++)
        nexuses[i] = pv_scsi_unit_attach(unit, i);
    permit();
    for (unsigned i = 0; i < QUEUES; i++)
        pthread_create(&threads[i], NULL, queue, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < EXCLUSIONS; i++) {
        exclude();
        uint64_t sum = 0, again = 0;
        for (unsigned j = 0; j < QUEUES; j++)
            sum += direct[j];
        alone++;
        for (unsigned j = 0; j < QUEUES; j++)
            again += direct[j];
        assert(sum == again);
        permit();
    }
    pv_store_release(&done, 1);
    for (unsigned i = 0; i < QUEUES; i++) {
        pthread_join(threads[i], NULL);
        assert(pv_scsi_nexus_detach(nexuses[i]) == 0);
    }
    assert(pv_scsi_unit_destroy(unit) == 0 && store->users == 0);
    pv_blk_store_close(store);
    return 0;
}
