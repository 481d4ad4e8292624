/* What toolstacks ask of cpupools, with the errors of Xen (common/sched/cpupool.c). */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/sched/internal.h"

#include <errno.h>
#include <string.h>

/* ---- Pools ----------------------------------------------------------------------------------- */

/* The pool with the lowest id from this one on, or NULL. */
static const struct sched_pool *first_from(const struct scheduler *sched, uint32_t id)
{
    const struct sched_pool *first = NULL;
    for (uint32_t slot = 0; slot < sched->pool_end; slot++) {
        const struct sched_pool *pool = &sched->pool[slot];
        if (pool->exists && pool->id >= id && (!first || pool->id < first->id))
            first = pool;
    }
    return first;
}

/* Above the highest one; when that is the last, the lowest that is free. */
static uint32_t new_id(struct scheduler *sched)
{
    uint32_t last = 0, id = 1;
    for (uint32_t slot = 0; slot < sched->pool_end; slot++)
        if (sched->pool[slot].exists && sched->pool[slot].id > last)
            last = sched->pool[slot].id;
    if (last != PV_CPUPOOL_ANY - 1)
        return last + 1;
    while (pool_find(sched, id))
        id++;
    return id;
}

static int create(struct scheduler *sched, uint32_t *id, uint32_t scheduler)
{
    uint32_t slot = 0;
    while (slot < 2 * sched->cpus && sched->pool[slot].exists)
        slot++;
    if (slot == 2 * sched->cpus)
        return -ENOSPC;
    if (*id != PV_CPUPOOL_ANY && pool_find(sched, *id))
        return -EEXIST;
    if (!sched_is_known(scheduler))
        return -ENOENT;
    if (*id == PV_CPUPOOL_ANY)
        *id = new_id(sched);
    if (slot == sched->pool_end)
        sched->pool_end++;
    pool_init(&sched->pool[slot], *id, scheduler);
    return 0;
}

int pv_cpupool_create(struct pv_machine *machine, uint32_t *pool, uint32_t scheduler_id)
{
    if (scheduler(machine)->cpus == 0)
        return -ENODEV;
    sched_lock(machine);
    int error = create(scheduler(machine), pool, scheduler_id);
    sched_unlock(machine);
    return error;
}

int pv_cpupool_destroy(struct pv_machine *machine, uint32_t id)
{
    sched_lock(machine);
    struct sched_pool *pool = pool_find(scheduler(machine), id);
    int error = pool ? 0 : -ENOENT;
    if (pool && (pool->domains || pool->cpu_count))
        error = -EBUSY;
    else if (pool)
        pool->exists = false;
    sched_unlock(machine);
    return error;
}

int pv_cpupool_get_info(struct pv_machine *machine, uint32_t id, struct pv_cpupool_info *info)
{
    sched_lock(machine);
    const struct sched_pool *pool = first_from(scheduler(machine), id);
    if (pool) {
        *info = (struct pv_cpupool_info){
            .pool = pool->id, .scheduler = pool->scheduler, .domains = pool->domains};
        memcpy(info->cpus, pool->cpus.words, sizeof info->cpus);
    }
    sched_unlock(machine);
    return pool ? 0 : -ENOENT;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static bool is_free(const struct scheduler *sched, uint32_t cpu)
{
    return sched->cpu[cpu].pool == NO_POOL;
}

static int add_cpu(struct pv_machine *machine, struct sched_pool *pool, uint32_t cpu, uint64_t now)
{
    struct scheduler *sched = scheduler(machine);
    if (!pool)
        return -ENOENT;
    if (cpu == PV_CPUPOOL_ANY)
        for (cpu = 0; cpu < sched->cpus && !is_free(sched, cpu);)
            if (++cpu == sched->cpus)
                return -ENODEV;
    if (cpu >= sched->cpus)
        return -EINVAL;
    if (!is_free(sched, cpu))
        return -ENODEV;
    pool_join_cpu(sched, pool, cpu, now);
    cpu_schedule(machine, cpu, now);
    return 0;
}

int pv_cpupool_add_cpu(struct pv_machine *machine, uint32_t id, uint32_t cpu)
{
    sched_lock(machine);
    struct sched_pool *pool = pool_find(scheduler(machine), id);
    int error = add_cpu(machine, pool, cpu, pv_machine_now(machine));
    sched_unlock(machine);
    return error;
}

/* The domains of a pool that loses its last CPU: those that are dying go to Pool-0. */
static int move_dying(struct pv_machine *machine, const struct sched_pool *pool, uint64_t now)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (!pool_has(machine, pool, d))
            continue;
        if (domain_state(d) != PV_DOMAIN_DYING)
            return -EBUSY;
        pool_move(machine, d, &scheduler(machine)->pool[0], now);
    }
    return 0;
}

static uint32_t last_cpu(const struct sched_pool *pool)
{
    for (uint32_t cpu = SCHED_MAX_CPUS; cpu-- > 0;)
        if (mask_test(&pool->cpus, cpu))
            return cpu;
    return SCHED_MAX_CPUS;
}

static int remove_cpu(struct pv_machine *machine, struct sched_pool *pool, uint32_t cpu,
                      uint64_t now)
{
    if (!pool)
        return -ENOENT;
    if (cpu == PV_CPUPOOL_ANY)
        cpu = last_cpu(pool);
    if (cpu >= scheduler(machine)->cpus || (pool->id == 0 && cpu == 0))
        return -EINVAL; /* CPU 0 remains in Pool-0 */
    if (!mask_test(&pool->cpus, cpu))
        return -EADDRNOTAVAIL;
    int error = pool->cpu_count == 1 ? move_dying(machine, pool, now) : 0;
    if (!error)
        pool_leave_cpu(machine, pool, cpu, now);
    return error;
}

int pv_cpupool_remove_cpu(struct pv_machine *machine, uint32_t id, uint32_t cpu)
{
    sched_lock(machine);
    struct sched_pool *pool = pool_find(scheduler(machine), id);
    int error = remove_cpu(machine, pool, cpu, pv_machine_now(machine));
    sched_unlock(machine);
    return error;
}

int pv_cpupool_get_free(struct pv_machine *machine, uint64_t *cpus)
{
    const struct scheduler *sched = scheduler(machine);
    struct cpu_mask free = {0};
    sched_lock(machine);
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu++)
        mask_put(&free, cpu, is_free(sched, cpu));
    sched_unlock(machine);
    memcpy(cpus, free.words, sizeof free.words);
    return 0;
}

/* ---- Domains --------------------------------------------------------------------------------- */

static int move_domain(struct pv_machine *machine, struct sched_pool *to, struct domain *d)
{
    if (!d->sched.member)
        return -EINVAL;
    if (to && pool_has(machine, to, d))
        return 0;
    if (!to || to->cpu_count == 0)
        return -ENOENT;
    pool_move(machine, d, to, pv_machine_now(machine));
    return 0;
}

int pv_cpupool_move_domain(struct pv_machine *machine, uint32_t id, domid_t domid)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    sched_lock(machine);
    int error = move_domain(machine, pool_find(scheduler(machine), id), d);
    sched_unlock(machine);
    return error;
}

int pv_cpupool_of_domain(struct pv_machine *machine, domid_t domid, uint32_t *id)
{
    RCU_SECTION(machine);
    const struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    sched_lock(machine);
    bool member = d->sched.member;
    if (member)
        *id = pool_of(machine, d)->id;
    sched_unlock(machine);
    return member ? 0 : -EINVAL;
}
