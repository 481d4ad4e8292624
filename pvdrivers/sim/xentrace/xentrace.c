/* The subsystem, and what toolstacks ask of it. */
#include "pvdrivers/sim/xentrace/internal.h"

#include "pvdrivers/sim/console/console.h"

#include <errno.h>

static_assert(XENTRACE_CPUS == SCHED_MAX_CPUS, "each has a buffer");

/* In words: behind the offsets of as many CPUs as there may be. */
#define FIRST_OFFSET ((sizeof(struct t_info) + XENTRACE_CPUS * sizeof(uint16_t) + 3) / 4)
#define MAX_PAGES (UINT16_MAX - FIRST_OFFSET) /* of all buffers: each has an offset */
static_assert((MAX_PAGES << FRAME_SHIFT) + XENTRACE_INFO_SIZE <= XENTRACE_SIZE, "room for all");

static uint32_t cpu_count(const struct pv_machine *machine)
{
    return machine->shared->scheduler.cpus;
}

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    (void)config;
    sim_lock_init(&shared->xentrace.lock);
    shared->xentrace.event_mask = TRC_ALL;
    memset(shared->xentrace.cpus, 0xff, sizeof shared->xentrace.cpus);
}

/* ---- The buffers: under the lock ------------------------------------------------------------- */

static uint32_t info_size(const struct pv_machine *machine)
{
    uint64_t words = FIRST_OFFSET + (uint64_t)cpu_count(machine) * xentrace(machine)->pages;
    return (uint32_t)((words * 4 + FRAME_SIZE - 1) / FRAME_SIZE * FRAME_SIZE);
}

static void tell_frames(const struct pv_machine *machine, uint32_t pages)
{
    struct t_info *info = (struct t_info *)info_page(machine);
    uint32_t *words = (uint32_t *)info;
    uint64_t mfn = (machine->shared->layout.xentrace + XENTRACE_INFO_SIZE) >> FRAME_SHIFT;
    info->tbuf_size = (uint16_t)pages;
    for (uint32_t cpu = 0; cpu < cpu_count(machine); cpu++)
        info->mfn_offset[cpu] = (uint16_t)(FIRST_OFFSET + cpu * pages);
    for (uint32_t page = 0; page < cpu_count(machine) * pages; page++)
        words[FIRST_OFFSET + page] = (uint32_t)(mfn + page);
}

static int make_buffers(struct pv_machine *machine, uint32_t pages)
{
    struct xentrace *trace = xentrace(machine);
    uint32_t most = (uint32_t)MAX_PAGES / cpu_count(machine);
    if (trace->pages)
        return pages == trace->pages ? -EBUSY : -EINVAL;
    if (pages == 0)
        return -EINVAL;
    if ((machine->shared->layout.xentrace + XENTRACE_SIZE) >> FRAME_SHIFT > UINT32_MAX)
        return -ENOMEM;
    if (pages > most)
        console_print(machine->shared, "xentrace: requested number of %u pages reduced to %u",
                      pages, most);
    tell_frames(machine, pages < most ? pages : most);
    /* Release: who finds that there are buffers, or that they are enabled, finds what is in t_info.
     */
    __atomic_store_n(&trace->pages, pages < most ? pages : most, __ATOMIC_RELEASE);
    __atomic_store_n(&trace->enabled, true, __ATOMIC_RELEASE);
    console_print(machine->shared, "xentrace: initialised");
    return 0;
}

static int enable(struct pv_machine *machine, bool enabled)
{
    struct xentrace *trace = xentrace(machine);
    if (!trace->pages)
        return enabled ? -EINVAL : 0;
    __atomic_store_n(&trace->enabled, enabled, __ATOMIC_RELEASE);
    for (uint32_t cpu = 0; !enabled && cpu < cpu_count(machine); cpu++)
        trace->cpu[cpu].lost = 0;
    return 0;
}

/* ---- What toolstacks ask --------------------------------------------------------------------- */

int pv_xentrace_set_size(struct pv_machine *machine, uint32_t pages)
{
    if (cpu_count(machine) == 0)
        return -ENODEV;
    sim_lock(&xentrace(machine)->lock);
    int error = make_buffers(machine, pages);
    sim_unlock(&xentrace(machine)->lock);
    return error;
}

int pv_xentrace_set_event_mask(struct pv_machine *machine, uint32_t mask)
{
    if (cpu_count(machine) == 0)
        return -ENODEV;
    sim_lock(&xentrace(machine)->lock);
    xentrace(machine)->event_mask = mask;
    sim_unlock(&xentrace(machine)->lock);
    return 0;
}

int pv_xentrace_set_cpu_mask(struct pv_machine *machine, const uint64_t *cpus)
{
    if (cpu_count(machine) == 0)
        return -ENODEV;
    sim_lock(&xentrace(machine)->lock);
    memcpy(xentrace(machine)->cpus, cpus, sizeof xentrace(machine)->cpus);
    sim_unlock(&xentrace(machine)->lock);
    return 0;
}

int pv_xentrace_enable(struct pv_machine *machine, bool enabled)
{
    if (cpu_count(machine) == 0)
        return -ENODEV;
    sim_lock(&xentrace(machine)->lock);
    int error = enable(machine, enabled);
    sim_unlock(&xentrace(machine)->lock);
    return error;
}

int pv_xentrace_get_info(struct pv_machine *machine, struct pv_xentrace_info *info)
{
    const struct xentrace *trace = xentrace(machine);
    if (cpu_count(machine) == 0)
        return -ENODEV;
    *info = (struct pv_xentrace_info){.cpus = cpu_count(machine)};
    sim_lock(&xentrace(machine)->lock);
    info->event_mask = trace->event_mask;
    info->pages = trace->pages;
    if (trace->pages) {
        info->buffer_mfn = machine->shared->layout.xentrace >> FRAME_SHIFT;
        info->info_size = info_size(machine);
        info->buffer_size = data_size(trace);
    }
    sim_unlock(&xentrace(machine)->lock);
    return 0;
}

/* A consumer as xentrace is one, which runs with the lock and so takes what was lost too. */
static uint32_t take(struct pv_machine *machine, uint32_t cpu, uint8_t *records)
{
    struct t_buf *buffer = buffer_of(machine, cpu);
    const uint8_t *data = (const uint8_t *)(buffer + 1);
    uint32_t size = data_size(xentrace(machine)), prod = xentrace(machine)->cpu[cpu].prod;
    uint32_t used = unconsumed(machine, cpu), from = (prod + size - used % size) % size;
    if (used == UINT32_MAX)
        return 0;
    uint32_t first = used < size - from ? used : size - from;
    memcpy(records, data + from, first);
    memcpy(records + first, data, used - first);
    __atomic_store_n(&buffer->cons, prod, __ATOMIC_RELEASE);
    return used;
}

int64_t pv_xentrace_read(struct pv_machine *machine, uint32_t cpu, void *records, uint32_t size)
{
    if (cpu_count(machine) == 0)
        return -ENODEV;
    sim_lock(&xentrace(machine)->lock);
    bool valid = xentrace(machine)->pages && cpu < cpu_count(machine) &&
                 size >= data_size(xentrace(machine));
    int64_t taken = valid ? (int64_t)take(machine, cpu, records) : -EINVAL;
    sim_unlock(&xentrace(machine)->lock);
    return taken;
}

bool xentrace_shares(const struct pv_machine *machine, uint64_t mfn, bool readonly)
{
    uint64_t first = machine->shared->layout.xentrace >> FRAME_SHIFT, page = mfn - first;
    uint64_t buffers = page - (XENTRACE_INFO_SIZE >> FRAME_SHIFT);
    uint32_t pages = __atomic_load_n(&xentrace(machine)->pages, __ATOMIC_ACQUIRE);
    if (!pages)
        return false;
    return buffers < (uint64_t)cpu_count(machine) * pages ||
           (readonly && page < info_size(machine) >> FRAME_SHIFT);
}

/* ---- A domain -------------------------------------------------------------------------------- */

static int created(struct pv_machine *machine, struct domain *d,
                   const struct pv_domain_config *config)
{
    (void)config;
    XENTRACE(machine, 0, TRC_DOM0_DOM_ADD, d->domain_id);
    return 0;
}

static uint64_t destroyed(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    XENTRACE(machine, 0, TRC_DOM0_DOM_REM, d->domain_id);
    return 0;
}

const struct subsystem xentrace_subsystem = {
    .init = init,
    .domain_create = created,
    .domain_destroy = destroyed,
};
