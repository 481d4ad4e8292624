/*
 * Fake Xen libraries in one shared object: a memory file is the other domain's memory, page N of
 * it is what gref N grants and what frame N holds. Mappings are taken back only as a whole, as
 * gntdev does; every call is counted; each can be told to fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 256
#define RANGES 512
#define FIRST_SHARED_REF 128

static int memory = -1;
static struct range {
    uint8_t *address;
    size_t count;
} ranges[RANGES];
static uint32_t next_shared_ref = FIRST_SHARED_REF;
static char failing[64];
static int failing_errno, failing_after;
static _Atomic int open_handles;
static _Atomic int calls;

/* ---- What the tests call --------------------------------------------------------------------- */

uint8_t *fake_memory(void)
{
    static uint8_t *view;
    if (!view) {
        memory = memfd_create("fake-xen", MFD_CLOEXEC);
        if (ftruncate(memory, PAGES * PAGE))
            abort();
        view = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    }
    return view;
}

/* `name` fails with `error` once it has worked `after` times; until the next fake_fail. */
void fake_fail(const char *name, int error, int after)
{
    strncpy(failing, name, sizeof failing - 1);
    failing_errno = error;
    failing_after = after;
}

int fake_open_handles(void)
{
    return open_handles;
}

int fake_mapped_ranges(void)
{
    int count = 0;
    for (int i = 0; i < RANGES; i++)
        count += ranges[i].address != NULL;
    return count;
}

int fake_is_mapped(const uint8_t *address)
{
    for (int i = 0; i < RANGES; i++)
        if (ranges[i].address && address >= ranges[i].address &&
            address < ranges[i].address + ranges[i].count * PAGE)
            return 1;
    return 0;
}

int fake_calls(void)
{
    int count = calls;
    calls = 0;
    return count;
}

static int fails(const char *name)
{
    calls++;
    if (strcmp(name, failing) || failing_after-- > 0)
        return 0;
    errno = failing_errno;
    return 1;
}

/* ---- libxenevtchn: a pipe carries the ports -------------------------------------------------- */

struct evtchn {
    int ends[2];
    uint32_t next_port;
};

void *xenevtchn_open(void *logger, unsigned flags)
{
    if (fails(__func__) || !logger || flags)
        return NULL;
    struct evtchn *e = calloc(1, sizeof *e);
    if (pipe(e->ends))
        abort();
    e->next_port = 1;
    open_handles++;
    return e;
}

int xenevtchn_close(void *handle)
{
    struct evtchn *e = handle;
    close(e->ends[0]);
    close(e->ends[1]);
    free(e);
    open_handles--;
    return 0;
}

int xenevtchn_fd(void *handle)
{
    return fails(__func__) ? -1 : ((struct evtchn *)handle)->ends[0];
}

static int new_port(struct evtchn *e, const char *name)
{
    return fails(name) ? -1 : (int)e->next_port++;
}

int xenevtchn_bind_unbound_port(void *handle, uint32_t domid)
{
    (void)domid;
    return new_port(handle, __func__);
}

int xenevtchn_bind_interdomain(void *handle, uint32_t domid, uint32_t port)
{
    (void)domid, (void)port;
    return new_port(handle, __func__);
}

int xenevtchn_bind_virq(void *handle, unsigned virq)
{
    (void)virq;
    return new_port(handle, __func__);
}

int xenevtchn_unbind(void *handle, uint32_t port)
{
    (void)handle, (void)port;
    return fails(__func__) ? -1 : 0;
}

int xenevtchn_notify(void *handle, uint32_t port)
{
    if (fails(__func__))
        return -1;
    return write(((struct evtchn *)handle)->ends[1], &port, sizeof port) == sizeof port ? 0 : -1;
}

int xenevtchn_pending(void *handle)
{
    uint32_t port;
    if (fails(__func__) ||
        read(((struct evtchn *)handle)->ends[0], &port, sizeof port) != sizeof port)
        return -1;
    return (int)port;
}

int xenevtchn_unmask(void *handle, uint32_t port)
{
    (void)handle, (void)port;
    return fails(__func__) ? -1 : 0;
}

/* ---- libxengnttab ---------------------------------------------------------------------------- */

static void *open_plain(const char *name, void *logger)
{
    if (fails(name) || !logger)
        return NULL;
    open_handles++;
    return malloc(1);
}

static int close_plain(void *handle)
{
    free(handle);
    open_handles--;
    return 0;
}

void *xengnttab_open(void *logger, unsigned flags)
{
    return flags ? NULL : open_plain(__func__, logger);
}

int xengnttab_close(void *handle)
{
    return close_plain(handle);
}

static void *map_pages(uint32_t count, const uint64_t *pages, int prot)
{
    fake_memory();
    struct range *range = ranges;
    while (range->address)
        range++;
    range->address = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    range->count = count;
    for (uint32_t i = 0; i < count; i++)
        if (pages[i] >= PAGES || mmap(range->address + i * PAGE, PAGE, prot, MAP_SHARED | MAP_FIXED,
                                      memory, (off_t)pages[i] * PAGE) == MAP_FAILED) {
            munmap(range->address, count * PAGE);
            range->address = NULL;
            errno = EINVAL;
            return NULL;
        }
    return range->address;
}

static int unmap_pages(void *address, size_t count)
{
    for (int i = 0; i < RANGES; i++)
        if (ranges[i].address == address && ranges[i].count == count && address) {
            ranges[i].address = NULL;
            return munmap(address, count * PAGE);
        }
    errno = EINVAL;
    return -1;
}

void *xengnttab_map_grant_refs(void *handle, uint32_t count, uint32_t *domids, uint32_t *refs,
                               int prot)
{
    (void)handle, (void)domids;
    uint64_t pages[PAGES];
    for (uint32_t i = 0; i < count; i++)
        pages[i] = refs[i];
    return fails(__func__) ? NULL : map_pages(count, pages, prot);
}

void *xengnttab_map_domain_grant_refs(void *handle, uint32_t count, uint32_t domid, uint32_t *refs,
                                      int prot)
{
    (void)handle, (void)domid;
    uint64_t pages[PAGES];
    for (uint32_t i = 0; i < count; i++)
        pages[i] = refs[i];
    return fails(__func__) ? NULL : map_pages(count, pages, prot);
}

int xengnttab_unmap(void *handle, void *address, uint32_t count)
{
    (void)handle;
    return fails(__func__) ? -1 : unmap_pages(address, count);
}

struct segment {
    union end {
        void *virt;
        struct {
            uint32_t ref;
            uint16_t offset, domid;
        } foreign;
    } source, dest;
    uint16_t len, flags;
    int16_t status;
};

static uint8_t *copy_end(const union end *end, int is_gref)
{
    if (!is_gref)
        return end->virt;
    return end->foreign.ref < PAGES ? fake_memory() + end->foreign.ref * PAGE + end->foreign.offset
                                    : NULL;
}

int xengnttab_grant_copy(void *handle, uint32_t count, struct segment *segments)
{
    (void)handle;
    if (fails(__func__))
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        struct segment *s = &segments[i];
        uint8_t *from = copy_end(&s->source, s->flags & 1), *to = copy_end(&s->dest, s->flags & 2);
        s->status = from && to ? 0 : -3;
        if (!s->status)
            memcpy(to, from, s->len);
    }
    return 0;
}

void *xengntshr_open(void *logger, unsigned flags)
{
    return flags ? NULL : open_plain(__func__, logger);
}

int xengntshr_close(void *handle)
{
    return close_plain(handle);
}

void *xengntshr_share_pages(void *handle, uint32_t domid, int count, uint32_t *refs, int writable)
{
    (void)handle, (void)domid, (void)writable;
    if (fails(__func__) || count != 1)
        return NULL;
    fake_memory();
    *refs = next_shared_ref++;
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)*refs * PAGE);
    return page == MAP_FAILED ? NULL : page;
}

/* ---- libxenforeignmemory --------------------------------------------------------------------- */

void *xenforeignmemory_open(void *logger, unsigned flags)
{
    return flags ? NULL : open_plain(__func__, logger);
}

int xenforeignmemory_close(void *handle)
{
    return close_plain(handle);
}

void *xenforeignmemory_map(void *handle, uint32_t domid, int prot, size_t count,
                           const unsigned long *frames, int *errors)
{
    (void)handle, (void)domid;
    uint64_t pages[PAGES];
    for (size_t i = 0; i < count; i++)
        pages[i] = frames[i];
    return fails(__func__) || errors ? NULL : map_pages((uint32_t)count, pages, prot);
}

int xenforeignmemory_unmap(void *handle, void *address, size_t count)
{
    (void)handle;
    return fails(__func__) ? -1 : unmap_pages(address, count);
}
