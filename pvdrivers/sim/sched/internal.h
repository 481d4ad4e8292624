/* What the files of the scheduler share. All of it is under the scheduler's lock, which is taken
 * last of all but the console's. */
#ifndef PVDRIVERS_SIM_SCHED_INTERNAL_H
#define PVDRIVERS_SIM_SCHED_INTERNAL_H

#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/sched/ops.h"
#include "pvdrivers/sim/sched/sched.h"
#include "pvdrivers/sim/sched/topology.h"

static_assert(SCHED_MAX_NODES == MAX_NODES, "each node of memory may have CPUs");
static_assert(SCHED_MAX_CPUS == PV_SCHED_MAX_CPUS && SCHED_CREDIT == PV_SCHEDULER_CREDIT &&
                  SCHED_CREDIT2 == PV_SCHEDULER_CREDIT2,
              "as the public header says");

#define NEVER UINT64_MAX
#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull

/* Xen's numbers; a higher one is more urgent. */
enum priority { IDLE = -64, OVER = -2, UNDER = -1, BOOST = 0 };

/* Whether vcpus are scheduled. In real time they are processes, whose time is counted. */
static inline bool is_scheduled(const struct pv_machine *machine)
{
    return machine->shared->scheduler.cpus && machine->shared->virtual_time;
}

static inline struct scheduler *scheduler(struct pv_machine *machine)
{
    return &machine->shared->scheduler;
}

static inline vcpu_ref make_ref(const struct domain *d, uint32_t vcpu)
{
    return (uint32_t)d->domain_id << 8 | vcpu;
}

static inline struct domain *domain_of(struct pv_machine *machine, vcpu_ref ref)
{
    return domain_window(machine, domid_of(ref));
}

/* The pool of a domain, which is a member of one. */
static inline struct sched_pool *pool_of(struct pv_machine *machine, const struct domain *d)
{
    return &scheduler(machine)->pool[d->sched.pool];
}

/* The pool of a CPU, which is in one. */
static inline struct sched_pool *pool_of_cpu(struct pv_machine *machine, uint32_t cpu)
{
    return &scheduler(machine)->pool[scheduler(machine)->cpu[cpu].pool];
}

static inline struct sched_vcpu *vcpu_at(struct pv_machine *machine, vcpu_ref ref)
{
    return &domain_of(machine, ref)->vcpu[id_of(ref)].sched;
}

static inline struct sched_queue *queue_of_cpu(struct pv_machine *machine, uint32_t cpu)
{
    return &scheduler(machine)->queue[scheduler(machine)->cpu[cpu].queue];
}

static inline bool sched_is_known(uint32_t id)
{
    return id == PV_SCHEDULER_CREDIT || id == PV_SCHEDULER_CREDIT2;
}

static inline const struct sched_ops *ops_of(const struct sched_pool *pool)
{
    return pool->scheduler == PV_SCHEDULER_CREDIT2 ? &credit2_ops : &credit_ops;
}

static inline const struct sched_ops *ops_of_vcpu(struct pv_machine *machine, vcpu_ref ref)
{
    return ops_of(pool_of(machine, domain_of(machine, ref)));
}

/* The live domain that has such a vcpu: 0 or a negative errno. In a read-side section. */
int sched_find(struct pv_machine *machine, domid_t domid, uint32_t vcpu, struct domain **d);
void sched_lock(struct pv_machine *machine);
void sched_unlock(struct pv_machine *machine);

/* ---- runqueue.c ---- */
/* Behind those that are as urgent. */
void runqueue_insert(struct pv_machine *machine, vcpu_ref ref);
void runqueue_remove(struct pv_machine *machine, vcpu_ref ref);
/* In the order of priorities that have changed; those of one priority keep theirs. */
void runqueue_sort(struct pv_machine *machine, struct sched_queue *queue);
/* A CPU joins those that share it. */
void runqueue_join(struct scheduler *sched, uint32_t queue, uint32_t cpu);
uint32_t runqueue_unused(const struct scheduler *sched);

/* ---- credit.c: who is urgent ---- */
/* A tick, while `current` of the CPU runs. */
void credit_tick(struct pv_machine *machine, uint32_t cpu, uint64_t now);

/* ---- account.c: what is earned ---- */
int32_t credit_of_slice(const struct sched_pool *pool);
void account_start(struct pv_machine *machine, vcpu_ref ref);
void account_stop(struct pv_machine *machine, vcpu_ref ref);
/* Each slice. */
void account_timer(struct pv_machine *machine, struct sched_pool *pool, uint64_t now);

/* ---- place.c: on which CPU ---- */
/* Where the vcpu may wait: its CPU, unless another one that it may use idles. */
uint32_t place_choose(struct pv_machine *machine, vcpu_ref ref);
/* A CPU that idles and that the vcpu may use, or SCHED_MAX_CPUS. */
uint32_t place_idle(struct pv_machine *machine, vcpu_ref ref);
/* A CPU that should choose anew now that the vcpu waits, or SCHED_MAX_CPUS. */
uint32_t place_tickled(struct pv_machine *machine, vcpu_ref ref);
/* Whether the vcpu, which runs, had better do so on another CPU, which idles. */
bool place_is_better_elsewhere(struct pv_machine *machine, vcpu_ref ref);

/* ---- steal.c ---- */
/* Takes one from another CPU's queue that is more urgent than `priority`, or NO_VCPU. */
vcpu_ref steal(struct pv_machine *machine, uint32_t cpu, int priority, uint64_t now);

/* ---- affinity.c ---- */
/* All of the machine's CPUs. */
void affinity_clear(const struct scheduler *sched, struct sched_vcpu *vcpu);
/* As Xen has it: a vcpu that may run on none of its pool's CPUs may run everywhere from now on. */
void affinity_loosen(struct pv_machine *machine, vcpu_ref ref);
/* Whether some of the CPUs in the pool on which it may run are better for it than others. */
bool affinity_prefers(const struct sched_pool *pool, const struct sched_vcpu *vcpu);

/* ---- process_time.c: what vcpus have used in real time ---- */
uint64_t process_time_area(const struct machine_layout *layout);
int process_time_open(struct sim_hypervisor *hv, const struct domain *d);
void process_time_close(struct sim_hypervisor *hv);
void process_time_left(struct pv_machine *machine, uint32_t client);
/* Under the lock, as those that follow: a domain is taken apart. */
void process_time_end(struct pv_machine *machine, struct domain *d);
/* ns that each vcpu of a domain has used; 0 in virtual time. */
uint64_t process_time_of(struct pv_machine *machine, const struct domain *d);
/* ns that each of the machine's CPUs has had nothing to do for its vcpus, on average. */
uint64_t process_time_idle(struct pv_machine *machine);
/* How many domains each process plays, when one died that changed it. */
void process_time_repair(struct pv_machine *machine);

/* ---- pool.c ---- */
void pool_init(struct sched_pool *pool, uint32_t id, uint32_t scheduler);
/* The pool with this id, or NULL. */
struct sched_pool *pool_find(struct scheduler *sched, uint32_t id);
/* A CPU that idles joins the pool. */
void pool_join_cpu(struct scheduler *sched, struct sched_pool *pool, uint32_t cpu, uint64_t now);
/* It leaves, and is free; there is another one, or nobody who needs one. */
void pool_leave_cpu(struct pv_machine *machine, struct sched_pool *pool, uint32_t cpu,
                    uint64_t now);
/* One of its CPUs, in turn. */
uint32_t pool_nth_cpu(const struct sched_pool *pool, uint32_t n);
bool pool_has(struct pv_machine *machine, const struct sched_pool *pool, const struct domain *d);
/* A domain, whose vcpus are off all CPUs and queues, joins a pool that has CPUs, or leaves its
 * pool. */
void pool_join(struct pv_machine *machine, struct domain *d, struct sched_pool *pool, uint64_t now);
void pool_leave(struct pv_machine *machine, struct domain *d);
/* In the pool's list of those that its timer concerns, at the head. */
void pool_link(struct pv_machine *machine, struct domain *d);
void pool_unlink(struct pv_machine *machine, const struct domain *d);
/* To another pool, where it begins with that scheduler's defaults. */
void pool_move(struct pv_machine *machine, struct domain *d, struct sched_pool *to, uint64_t now);

/* ---- cpu.c ---- */
/* A CPU chooses whom it runs from now on. */
void cpu_schedule(struct pv_machine *machine, uint32_t cpu, uint64_t now);
/* What `current` has run is taken from what it wants. */
void cpu_charge(struct pv_machine *machine, struct sched_cpu *cpu, uint64_t now);
/* Its next event's time has changed. */
void cpu_update(struct pv_machine *machine, uint32_t cpu);

/* ---- runstate.c: what guests see ---- */
/* ns in each state up to now. */
void runstate_times(struct pv_machine *machine, const struct domain *d, uint32_t id,
                    uint64_t *time);
/* The vcpu has an area, and does something else from now on. */
void runstate_changed(struct pv_machine *machine, vcpu_ref ref);
/* A domain is taken apart. Under no lock. */
void runstate_areas_release(struct pv_machine *machine, struct domain *d);

/* ---- dump.c ---- */
void sched_dump(struct pv_machine *machine);

/* ---- vcpu.c ---- */
/* The subsystem's hook. */
void vcpu_paused(struct pv_machine *machine, struct domain *d, uint32_t vcpu, bool paused);
bool vcpu_is_runnable(const struct domain *d, const struct sched_vcpu *vcpu);
/* Its state while it has no CPU. */
uint8_t vcpu_rest_state(const struct domain *d, const struct sched_vcpu *vcpu);
void vcpu_set_state(struct pv_machine *machine, vcpu_ref ref, uint8_t state, uint64_t now);
/* It may have become runnable, or ceased to be: `demand`, the domain or parking has changed.
 * `boost`: whether it wakes by an event. */
void vcpu_changed(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool boost);
/* Off its CPU or out of its queue until it is put back: `moving`. */
void vcpu_take_off(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
void vcpu_put_back(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
/* To the best place it may use. */
void vcpu_move(struct pv_machine *machine, vcpu_ref ref, uint64_t now);

#endif
