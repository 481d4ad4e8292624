/* The seam over the Xen libraries, for the sanitizers: against fakes of the libraries, which keep
 * count of what is open and mapped. What each call means is in test_native.py. */
#include "pvdrivers/backends/stores/stores.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/native/native.h"
#include "pvdrivers/poll/group.h"
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, OWN = 3, GUEST = 7 };

static struct fakes {
    uint8_t *(*memory)(void);
    void (*fail)(const char *name, int error, int after);
    int (*open_handles)(void);
    int (*mapped_ranges)(void);
    int (*is_mapped)(const uint8_t *address);
} fakes;

/* ISO C does not convert an object pointer to a function pointer; POSIX does. */
static void find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    assert(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

static void load_fakes(void)
{
    void *library = dlopen(FAKE_XEN "/libxenevtchn.so.1", RTLD_NOW);
    assert(library);
    find(library, "fake_memory", &fakes.memory);
    find(library, "fake_fail", &fakes.fail);
    find(library, "fake_open_handles", &fakes.open_handles);
    find(library, "fake_mapped_ranges", &fakes.mapped_ranges);
    find(library, "fake_is_mapped", &fakes.is_mapped);
}

static struct pv_hypervisor *open_native(void)
{
    struct pv_hypervisor *hypervisor;
    char problem[256];
    assert(pv_native_open_hypervisor(FAKE_XEN, OWN, &hypervisor, problem, sizeof problem) == 0);
    return hypervisor;
}

static void close_native(struct pv_hypervisor *hypervisor)
{
    hypervisor->ops->close(hypervisor);
    assert(fakes.open_handles() == 0 && fakes.mapped_ranges() == 0);
}

static void test_opening(void)
{
    struct pv_hypervisor *hypervisor;
    char problem[16]; /* too short for what is said */
    assert(pv_native_open_hypervisor("/nowhere", OWN, &hypervisor, problem, sizeof problem) ==
           -ENOENT);
    assert(strlen(problem) == sizeof problem - 1);
    fakes.fail("xengnttab_open", EACCES, 0);
    assert(pv_native_open_hypervisor(FAKE_XEN, OWN, &hypervisor, problem, sizeof problem) ==
           -EACCES);
    fakes.fail("", 0, 0);
    close_native(open_native());
}

static void test_events(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    static const char *const opening[] = {"xenevtchn_open", "xenevtchn_fd"};
    for (int i = 0; i < 2; i++) {
        fakes.fail(opening[i], EMFILE, 0);
        assert(!ops->evtchn_open(hypervisor) && errno == EMFILE);
    }
    fakes.fail("xenevtchn_bind_interdomain", ENOSPC, 1);
    struct pv_evtchn *handle = ops->evtchn_open(hypervisor);
    int port = ops->evtchn_bind_interdomain(handle, GUEST, 5);
    assert(port > 0 && ops->evtchn_bind_interdomain(handle, GUEST, 6) == -ENOSPC);
    assert(ops->evtchn_pending(handle) == -EAGAIN);
    assert(ops->evtchn_notify(handle, (evtchn_port_t)port) == 0);
    assert(ops->evtchn_pending(handle) == port);
    assert(ops->evtchn_unmask(handle, (evtchn_port_t)port) == 0);
    assert(ops->evtchn_unbind(handle, (evtchn_port_t)port) == 0);
    ops->evtchn_close(handle);
    close_native(hypervisor);
}

static void test_grants_of_others(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    struct pv_grant_map maps[4] = {{.ref = 1}, {.ref = 999}, {.ref = 2}, {.ref = 3}};
    for (int i = 0; i < 4; i++)
        maps[i].domid = GUEST, maps[i].flags = GNTMAP_host_map;
    assert(ops->gnttab_map(hypervisor, maps, 4) == 0);
    assert(maps[1].status != GNTST_okay && !maps[1].address);
    memset(maps[2].address, 42, PAGE);
    assert(fakes.memory()[2 * PAGE + PAGE - 1] == 42);
    for (int i = 3; i >= 0; i--)
        assert(ops->gnttab_unmap(hypervisor, &maps[i], 1) == 0 &&
               (maps[i].status == GNTST_okay) == (i != 1));

    const grant_ref_t good[] = {9, 4, 7}, bad[] = {9, 4, 1 << 20};
    uint8_t *area = ops->gnttab_map_contiguous(hypervisor, GUEST, good, 3, false);
    memset(area, 1, 3 * PAGE);
    assert(ops->gnttab_unmap_contiguous(hypervisor, area, 3) == 0);
    assert(!ops->gnttab_map_contiguous(hypervisor, GUEST, bad, 3, false));
    close_native(hypervisor);
}

static void test_copies(void)
{
    enum { COUNT = 200 };
    struct pv_hypervisor *hypervisor = open_native();
    struct pv_grant_copy *copies = calloc(COUNT, sizeof *copies);
    uint8_t *bytes = malloc(COUNT); /* exactly: a copy too long is found */
    for (unsigned i = 0; i < COUNT; i++) {
        fakes.memory()[i * PAGE + PAGE - 1] = (uint8_t)i;
        copies[i] = (struct pv_grant_copy){
            .source = {.ref = i, .domid = GUEST, .offset = PAGE - 1},
            .dest.address = bytes + i,
            .len = 1,
            .flags = GNTCOPY_source_gref,
        };
    }
    copies[50].source.ref = 1 << 20;
    assert(hypervisor->ops->gnttab_copy(hypervisor, copies, COUNT) == 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert((copies[i].status == GNTST_okay) == (i != 50) && (i == 50 || bytes[i] == i));
    fakes.fail("xengnttab_grant_copy", EFAULT, 1);
    assert(hypervisor->ops->gnttab_copy(hypervisor, copies, COUNT) == -EFAULT);
    assert(copies[0].status == GNTST_okay && copies[COUNT - 1].status == GNTST_general_error);
    fakes.fail("", 0, 0);
    free(copies);
    free(bytes);
    close_native(hypervisor);
}

static void test_own_pages(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    uint8_t *pages = ops->pages_alloc(hypervisor, 3);
    grant_ref_t refs[3], again;
    memset(pages, 5, 3 * PAGE);
    for (int i = 0; i < 3; i++)
        assert(ops->grant_access(hypervisor, GUEST, pages + i * PAGE, i == 1, &refs[i]) == 0);
    assert(fakes.memory()[refs[2] * PAGE] == 5);
    assert(ops->grant_access(hypervisor, GUEST, pages, false, &again) == -EBUSY);
    assert(ops->grant_access(hypervisor, GUEST, pages + 1, false, &again) == -EINVAL);
    assert(ops->pages_free(hypervisor, pages, 3) == -EBUSY);
    assert(ops->grant_end(hypervisor, refs[1]) == 0);
    assert(ops->grant_end(hypervisor, refs[1]) == -EINVAL);
    assert(pages[PAGE] == 5);
    fakes.fail("xengntshr_share_pages", ENOSPC, 0);
    assert(ops->grant_access(hypervisor, GUEST, pages + PAGE, false, &again) == -ENOSPC);
    fakes.fail("", 0, 0);
    close_native(hypervisor); /* two are still granted */
    memset(pages, 6, 3 * PAGE);
}

static void test_foreign_memory(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    const uint64_t frames[] = {6, 5}, beyond[] = {6, 1000};
    uint8_t *area = ops->foreign_map(hypervisor, GUEST, frames, 2, false);
    memset(area, 3, 2 * PAGE);
    assert(ops->foreign_unmap(hypervisor, GUEST, area, 2) == 0);
    assert(!ops->foreign_map(hypervisor, GUEST, beyond, 2, false));
    close_native(hypervisor);
}

static unsigned mapped_elements; /* of the vectors that a disk's store was given */
static const struct pv_blk_store_ops *ram_ops;

static void submit_and_look(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (int j = 0; j < ios[i]->iov_count; j++)
            mapped_elements += (unsigned)fakes.is_mapped(ios[i]->iov[j].iov_base);
    ram_ops->submit(store, ios, count);
}

/* One whose memory only its operations reach. */
static struct pv_blk_store *make_store(bool io_outlives_process)
{
    static struct pv_blk_store_ops ops;
    struct pv_blk_store *store = pv_ram_store_create(1024, 512);
    ram_ops = store->ops;
    ops = (struct pv_blk_store_ops){
        .name = "looks", .submit = submit_and_look, .close = ram_ops->close};
    store->ops = &ops;
    store->io_outlives_process = io_outlives_process;
    mapped_elements = 0;
    return store;
}

/* Both halves of a disk over the seam: what one grants the other maps. The end of a process takes
 * maps away even while they are used, so that I/O which may outlive it never gets any. */
static void test_a_disk(bool persistent, bool io_outlives_process)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    struct pv_evtchn *ends[2] = {ops->evtchn_open(hypervisor), ops->evtchn_open(hypervisor)};
    struct pv_blkfront_config front_config = {.hypervisor = hypervisor,
                                              .evtchn = ends[0],
                                              .backend = OWN,
                                              .ring_pages = 1,
                                              .persistent = true,
                                              .trusted = true,
                                              .pool_pages = 24};
    struct pv_blkfront_queue *front = pv_blkfront_create(&front_config);
    assert(front);
    const grant_ref_t *refs;
    struct pv_blkback_config back_config = {.hypervisor = hypervisor,
                                            .evtchn = ends[1],
                                            .frontend = OWN,
                                            .abi = hypervisor->abi,
                                            .ring_pages = pv_blkfront_ring_refs(front, &refs),
                                            .remote_port = pv_blkfront_port(front),
                                            .store = make_store(io_outlives_process),
                                            .persistent = persistent};
    back_config.ring_refs = refs;
    struct pv_blkback_queue *back = pv_blkback_create(&back_config);
    assert(back && back_config.store->users == 1);
    struct pv_blkfront_features features = {.sector_size = 512};
    assert(pv_blkfront_connect(front, &features) == 0);

    static uint8_t written[8 * PAGE], found[8 * PAGE];
    for (unsigned round = 0; round < 8; round++) {
        for (size_t i = 0; i < sizeof written; i++)
            written[i] = (uint8_t)(i * 7 + round);
        struct pv_blkfront_io ios[2] = {
            {.operation = BLKIF_OP_WRITE, .sector = round * 64, .data = written},
            {.operation = BLKIF_OP_READ, .sector = round * 64, .data = found}};
        for (int i = 0; i < 2; i++) {
            struct pv_blkfront_io *io = &ios[i], *done[4];
            io->nr_sectors = sizeof written / 512;
            assert(pv_blkfront_submit(front, &io, 1) == 0);
            while (pv_blkfront_poll(front, done, 4) == 0)
                assert(pv_blkback_pump(back, 64, 0) >= 0);
            assert(io->status == 0);
        }
        assert(memcmp(written, found, sizeof written) == 0);
    }
    assert((mapped_elements > 0) == (persistent && !io_outlives_process));
    assert(pv_blkback_destroy(back) == 0 && back_config.store->users == 0);
    pv_blkfront_destroy(front);
    pv_blk_store_close(back_config.store);
    for (int i = 0; i < 2; i++)
        ops->evtchn_close(ends[i]);
    close_native(hypervisor);
}

/* A thread's poll group is woken by the libraries' fd, and sleeps while there are no requests. */
static void test_a_poll_group(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    struct pv_evtchn *handle = ops->evtchn_open(hypervisor);
    pv_sring_init((struct pv_sring *)fakes.memory());
    grant_ref_t ref = 0;
    struct pv_blkback_config config = {.hypervisor = hypervisor,
                                       .evtchn = handle,
                                       .frontend = GUEST,
                                       .abi = hypervisor->abi,
                                       .ring_refs = &ref,
                                       .ring_pages = 1,
                                       .remote_port = 5,
                                       .store = pv_ram_store_create(1024, 512)};
    struct pv_blkback_queue *queue = pv_blkback_create(&config);
    struct pv_poll_group *group = pv_poll_group_create(PV_POLL_MODE_EVENT);
    assert(queue && group && pv_poll_group_add(group, pv_blkback_pollable(queue)) == 0);
    for (uint64_t now = 1; pv_poll_group_awake(group) > 0; now++)
        assert(pv_poll_group_iterate(group, now) == 0);

    struct pollfd readable = {.fd = pv_poll_group_fd(group), .events = POLLIN};
    assert(poll(&readable, 1, 0) == 0);
    assert(ops->evtchn_notify(handle, pv_blkback_port(queue)) == 0); /* the fake's own end */
    assert(poll(&readable, 1, 0) == 1);
    pv_poll_group_iterate(group, 1000);
    assert(poll(&readable, 1, 0) == 0); /* it has taken the event */

    assert(pv_poll_group_remove(group, pv_blkback_pollable(queue)) == 0);
    pv_poll_group_destroy(group);
    assert(pv_blkback_destroy(queue) == 0);
    pv_blk_store_close(config.store);
    ops->evtchn_close(handle);
    close_native(hypervisor);
}

/* Queues of several threads share one view. */
static void *grant_and_notify(void *argument)
{
    struct pv_hypervisor *hypervisor = argument;
    const struct pv_hypervisor_ops *ops = hypervisor->ops;
    struct pv_evtchn *handle = ops->evtchn_open(hypervisor);
    int port = ops->evtchn_bind_unbound_port(handle, GUEST);
    uint8_t *page = ops->pages_alloc(hypervisor, 1);
    for (int i = 0; i < 4; i++) {
        grant_ref_t ref;
        page[0] = (uint8_t)i;
        assert(ops->grant_access(hypervisor, GUEST, page, false, &ref) == 0);
        assert(page[0] == i);
        assert(ops->evtchn_notify(handle, (evtchn_port_t)port) == 0);
        assert(ops->evtchn_pending(handle) == port);
        assert(ops->grant_end(hypervisor, ref) == 0);
    }
    assert(ops->pages_free(hypervisor, page, 1) == 0);
    ops->evtchn_close(handle);
    return NULL;
}

static void test_threads(void)
{
    struct pv_hypervisor *hypervisor = open_native();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert(pthread_create(&threads[i], NULL, grant_and_notify, hypervisor) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close_native(hypervisor);
}

int main(void)
{
    load_fakes();
    test_opening();
    test_events();
    test_grants_of_others();
    test_copies();
    test_own_pages();
    test_foreign_memory();
    test_a_disk(true, false);
    test_a_disk(true, true);
    test_a_disk(false, true);
    test_a_poll_group();
    test_threads();
    return 0;
}
