#include "pvdrivers/sim/core/machine.h"

#include "pvdrivers/sim/core/broker.h"
#include "pvdrivers/sim/core/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE_ALIGN 0x4000ull /* the largest page of any ABI */
#define HOTADD_ALIGN (2ull << 20)
/* Added to windows of whole pages: a page and a cache line. One place of all windows would else be
 * in a few sets of the TLB, and in one of the cache. */
#define WINDOW_STAGGER (0x1000ull + 64)

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

/* As Xen adds memory: in whole superpages. */
static bool may_be_added(const struct pv_memory_extent *extent)
{
    uint64_t limit = DMA32_FRAMES << FRAME_SHIFT, end = extent->start + extent->size;
    return (extent->start | end) % HOTADD_ALIGN == 0 && (end <= limit || extent->start >= limit);
}

static int check_config(const struct pv_machine_config *config)
{
    if (config->extent_count == 0 || config->extent_count > MAX_EXTENTS)
        return -EINVAL;
    if (config->max_domains == 0 || config->max_domains > DOMID_FIRST_RESERVED)
        return -EINVAL;
    if (config->cpus > SCHED_MAX_CPUS || (config->scheduler && config->scheduler != SCHED_CREDIT &&
                                          config->scheduler != SCHED_CREDIT2))
        return -EINVAL;
    if (config->credit2_runqueue > PV_CREDIT2_RUNQUEUE_ALL)
        return -EINVAL;
    uint64_t end = 0;
    bool has_memory = false;
    for (uint32_t i = 0; i < config->extent_count; i++) {
        const struct pv_memory_extent *extent = &config->extents[i];
        if (extent->size == 0 || extent->start % PAGE_ALIGN || extent->size % PAGE_ALIGN ||
            extent->start < end || extent->start + extent->size < extent->start ||
            extent->node >= MAX_NODES || (extent->absent && !may_be_added(extent)))
            return -EINVAL;
        has_memory |= !extent->absent;
        end = extent->start + extent->size;
    }
    if (!has_memory)
        return -EINVAL;
    return end > 1ull << 50 ? -E2BIG : 0; /* the architected limit of IA-64 physical addresses */
}

/* Everything is placed for the largest case; the segment is sparse, so only use costs memory. */
static struct machine_layout lay_out(const struct pv_machine_config *config)
{
    const struct pv_memory_extent *last = &config->extents[config->extent_count - 1];
    struct machine_layout layout = {.xenheap = align_up(last->start + last->size, XENHEAP_ALIGN)};
    layout.max_domain_pages = align_up(config->max_domain_memory, PAGE_ALIGN) >> FRAME_SHIFT;
    layout.xenheap_window = XENHEAP_SUBSYSTEMS;
    FOR_EACH_SUBSYSTEM(id, shared_size)
    {
        layout.shared[id] = layout.xenheap_window;
        layout.xenheap_window += align_up(subsystems[id]->shared_size(&layout), PAGE_ALIGN);
    }
    layout.xenheap_window = align_up(layout.xenheap_window, XENHEAP_ALIGN);
    layout.xentrace = layout.xenheap + (uint64_t)config->max_domains * layout.xenheap_window;
    layout.m2p = layout.xentrace + XENTRACE_SIZE;
    layout.m2p_size =
        align_up((last->start + last->size) / FRAME_SIZE * sizeof(uint64_t), M2P_CHUNK_SIZE);
    layout.memory_size = layout.m2p + layout.m2p_size;

    layout.trace = align_up(sizeof(struct machine), PAGE_ALIGN);
    layout.heaps =
        align_up(layout.trace + TRACE_RECORDS * sizeof(struct pv_trace_record), PAGE_ALIGN);
    layout.m2p_shown =
        align_up(layout.heaps + (uint64_t)MAX_NODES * ZONE_COUNT * sizeof(struct heap), PAGE_ALIGN);
    layout.frame_table = align_up(layout.m2p_shown + layout.m2p_size / M2P_CHUNK_SIZE, PAGE_ALIGN);
    uint64_t frames = layout.memory_size >> FRAME_SHIFT;
    layout.domains = align_up(layout.frame_table + frames * sizeof(struct page_info), PAGE_ALIGN);

    layout.window_areas = align_up(sizeof(struct domain), PAGE_ALIGN);
    uint64_t end = layout.window_areas;
    FOR_EACH_SUBSYSTEM(id, area_size)
    {
        layout.area[id] = end;
        end = align_up(end + subsystems[id]->area_size(&layout), PAGE_ALIGN);
    }
    layout.domain_stride = end + WINDOW_STAGGER;
    layout.segment_size = layout.domains + config->max_domains * layout.domain_stride;
    return layout;
}

static void init_shared(struct machine *shared, const struct pv_machine_config *config,
                        const struct machine_layout *layout)
{
    shared->layout = *layout;
    shared->max_domains = config->max_domains;
    shared->virtual_time = config->virtual_time;
    shared->threads_per_core = config->threads_per_core ? config->threads_per_core : 1;
    shared->cores_per_socket = config->cores_per_socket;
    FOR_EACH_SUBSYSTEM(id, init)
    subsystems[id]->init(shared, config);
    sim_lock_init(&shared->lock);
    shared->magic = MACHINE_MAGIC;
}

static int create_file(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void unmap_all(struct pv_machine *machine, const struct machine_layout *layout)
{
    if (machine->memory)
        munmap(machine->memory, layout->memory_size);
    if (machine->shared)
        munmap(machine->shared, layout->segment_size);
    if (machine->segment_fd >= 0)
        close(machine->segment_fd);
    if (machine->memory_fd >= 0)
        close(machine->memory_fd);
    free(machine);
}

/* Maps both files; takes the fds over, and closes them when it fails. */
static int map_machine(int segment_fd, int memory_fd, const struct machine_layout *layout,
                       struct pv_machine **out)
{
    struct pv_machine *machine = calloc(1, sizeof *machine);
    if (!machine)
        return -ENOMEM;
    machine->segment_fd = segment_fd;
    machine->memory_fd = memory_fd;
    machine->broker_fd = -1;
    pthread_mutex_init(&machine->broker_lock, NULL);
    machine->shared = map_file(segment_fd, layout->segment_size);
    machine->memory = map_file(memory_fd, layout->memory_size);
    if (!machine->shared || !machine->memory) {
        unmap_all(machine, layout);
        return -ENOMEM;
    }
    *out = machine;
    return 0;
}

static int attach_subsystems(struct pv_machine *machine)
{
    FOR_EACH_SUBSYSTEM(id, attach)
    {
        int error = subsystems[id]->attach(machine);
        if (error)
            return error;
    }
    return 0;
}

int pv_machine_create(const struct pv_machine_config *config, struct pv_machine **out)
{
    int error = check_config(config);
    if (error)
        return error;
    struct machine_layout layout = lay_out(config);
    int segment_fd = create_file("pvdrivers-segment", layout.segment_size);
    if (segment_fd < 0)
        return segment_fd;
    int memory_fd = create_file("pvdrivers-memory", layout.memory_size);
    if (memory_fd < 0) {
        close(segment_fd);
        return memory_fd;
    }
    error = map_machine(segment_fd, memory_fd, &layout, out);
    if (error)
        return error;
    init_shared((*out)->shared, config, &layout);
    (*out)->client = client_join(*out, (uint32_t)getpid());
    error = broker_create(*out);
    return error ? error : attach_subsystems(*out);
}

int pv_machine_attach(const char *socket_path, struct pv_machine **out)
{
    int fds[2], broker_fd;
    uint32_t client;
    int error = broker_join(socket_path, fds, &broker_fd, &client);
    if (error)
        return error;
    struct machine head;
    if (pread(fds[0], &head, sizeof head, 0) != (ssize_t)sizeof head ||
        head.magic != MACHINE_MAGIC) {
        close(fds[0]);
        close(fds[1]);
        close(broker_fd);
        return -EPROTO;
    }
    error = map_machine(fds[0], fds[1], &head.layout, out);
    if (error) {
        close(broker_fd);
        return error;
    }
    (*out)->broker_fd = broker_fd;
    (*out)->client = client;
    return attach_subsystems(*out);
}

static void client_release(struct pv_machine *machine, uint32_t client);

void pv_machine_close(struct pv_machine *machine)
{
    if (!machine)
        return;
    struct machine_layout layout = machine->shared->layout;
    FOR_EACH_SUBSYSTEM_REVERSE(id, stop)
    subsystems[id]->stop(machine);
    client_release(machine, machine->client);
    broker_destroy(machine);
    if (machine->broker_fd >= 0)
        close(machine->broker_fd); /* the serving process may give the slot away from here on */
    FOR_EACH_SUBSYSTEM_REVERSE(id, detach)
    subsystems[id]->detach(machine);
    unmap_all(machine, &layout);
}

/* ---- Lock ------------------------------------------------------------------------------------ */

void machine_lock(struct pv_machine *machine)
{
    if (!sim_lock(&machine->shared->lock))
        return;
    FOR_EACH_SUBSYSTEM(id, repair)
    subsystems[id]->repair(machine);
}

void machine_unlock(struct pv_machine *machine)
{
    sim_unlock(&machine->shared->lock);
}

/* ---- Clients --------------------------------------------------------------------------------- */

uint32_t client_join(struct pv_machine *machine, uint32_t pid)
{
    struct machine *shared = machine->shared;
    uint32_t client = MAX_CLIENTS;
    machine_lock(machine);
    for (uint32_t i = 0; i < MAX_CLIENTS && client == MAX_CLIENTS; i++)
        if (shared->clients[i].pid == 0)
            client = i;
    if (client < MAX_CLIENTS) {
        shared->clients[client].pid = pid;
        shared->clients[client].generation++;
        if (client >= shared->client_end)
            shared->client_end = client + 1;
    }
    machine_unlock(machine);
    return client;
}

/* What the kernel does when the device files of a dead process are closed. */
static void client_release(struct pv_machine *machine, uint32_t client)
{
    rcu_forget_client(machine, client);
    FOR_EACH_SUBSYSTEM_REVERSE(id, client_left)
    subsystems[id]->client_left(machine, client);
    domain_release_client(machine, client);
    reap_domains(machine);
}

void client_leave(struct pv_machine *machine, uint32_t client)
{
    client_release(machine, client);
    machine_lock(machine);
    machine->shared->clients[client].pid = 0;
    machine_unlock(machine);
}

/* ---- Facts about the machine ----------------------------------------------------------------- */

uint64_t machine_now(const struct machine *shared)
{
    if (shared->virtual_time)
        return __atomic_load_n(&shared->now, __ATOMIC_RELAXED);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void defer_virq(struct machine *shared, uint32_t virq)
{
    __atomic_fetch_or(&shared->deferred_virqs, 1u << virq, __ATOMIC_SEQ_CST);
    rcu_defer(shared);
}

bool pv_machine_is_virtual_time(struct pv_machine *machine)
{
    return machine->shared->virtual_time;
}

uint64_t pv_machine_now(struct pv_machine *machine)
{
    return machine_now(machine->shared);
}

uint64_t pv_machine_next_event(struct pv_machine *machine)
{
    uint64_t next = UINT64_MAX;
    FOR_EACH_SUBSYSTEM(id, next_event)
    {
        uint64_t at = subsystems[id]->next_event(machine);
        next = at < next ? at : next;
    }
    return next;
}

void machine_pass_time(struct pv_machine *machine)
{
    FOR_EACH_SUBSYSTEM(id, pass_time)
    subsystems[id]->pass_time(machine);
}

void pv_machine_advance(struct pv_machine *machine, uint64_t ns)
{
    uint64_t *clock = &machine->shared->now;
    for (uint64_t left = ns;;) {
        uint64_t now = pv_machine_now(machine), next = pv_machine_next_event(machine);
        uint64_t step = next <= now ? 0 : next - now;
        if (!machine->shared->virtual_time || step > left) {
            __atomic_fetch_add(clock, left, __ATOMIC_RELAXED);
            return;
        }
        __atomic_fetch_add(clock, step, __ATOMIC_RELAXED);
        left -= step;
        machine_pass_time(machine);
    }
}

uint64_t pv_machine_resident_memory(struct pv_machine *machine)
{
    struct stat segment, memory;
    if (fstat(machine->segment_fd, &segment) || fstat(machine->memory_fd, &memory))
        return 0;
    return (uint64_t)(segment.st_blocks + memory.st_blocks) * 512;
}
