/* What the sched room keeps of each vcpu, of each domain, of the machine's CPUs and of its
 * cpupools. */
#ifndef PVDRIVERS_SIM_SCHED_STATE_H
#define PVDRIVERS_SIM_SCHED_STATE_H

#include "pvdrivers/types.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define SCHED_MAX_CPUS 256
#define SCHED_MAX_NODES 256
#define SCHED_MASK_WORDS (SCHED_MAX_CPUS / 64)
#define SCHED_RUNSTATES 4
#define SCHED_MAX_CLIENTS 1024
#define SCHED_MAX_POOLS (2 * SCHED_MAX_CPUS)
#define NO_POOL UINT16_MAX
#define SCHED_CREDIT 5
#define SCHED_CREDIT2 6

/* domid << 8 | vcpu */
typedef uint32_t vcpu_ref;
#define NO_VCPU UINT32_MAX

static inline domid_t domid_of(vcpu_ref ref)
{
    return (domid_t)(ref >> 8);
}

static inline uint8_t id_of(vcpu_ref ref)
{
    return (uint8_t)ref;
}

struct cpu_mask {
    uint64_t words[SCHED_MASK_WORDS];
};

/* A moving average over about a second, in units of 1 / 2^18. */
struct sched_load {
    int64_t average;
    uint64_t at; /* in µs of 1024 ns */
};

/* Where a guest reads a vcpu's runstate: pages that are held as those of its events are, mfn + 1,
 * or 0; the second one has what is behind the first one's end. Under the scheduler's lock, and
 * changed under the domain's event lock too. */
struct runstate_area {
    uint64_t page[2];
    uint32_t offset; /* bytes, in the first page */
};

struct sched_vcpu {
    uint64_t demand; /* ns of CPU time that it still wants */
    /* Runstate. */
    uint8_t state; /* RUNSTATE_* */
    uint64_t state_since, time[SCHED_RUNSTATES];
    struct runstate_area area;
    /* Where it waits or runs. */
    uint16_t cpu;
    bool queued;
    vcpu_ref next, prev; /* in the runqueue of `cpu` */
    int32_t priority;    /* the more urgent the higher; for credit2 its credits, ns */
    struct cpu_mask affinity, soft_affinity;
    struct cpu_mask preferred; /* both of them, while `prefers` */
    bool prefers;              /* the soft one tells the hard one's CPUs apart */
    /* The credit scheduler. */
    int32_t credit;
    uint64_t left_at;      /* when it last had a CPU */
    uint64_t burned_until; /* what it ran until then is paid; while it runs */
    uint64_t residual;     /* of a credit */
    bool active, parked;
    bool yields; /* it asks for no more of its ratelimit */
    /* The credit2 scheduler. */
    uint16_t queue;                    /* the runqueue to which it belongs, asleep or not */
    bool belongs;                      /* to one */
    vcpu_ref next_member, prev_member; /* of that queue */
    int64_t budget, quota;             /* ns, under a cap */
    struct sched_load load;
    bool moving; /* off its CPU for a moment */
};

struct sched_domain {
    bool runnable; /* neither paused nor ended */
    bool member;   /* of a cpupool: from its creation to its teardown */
    uint16_t pool; /* which one, a slot */
    uint64_t used; /* ns of CPU time that processes have given it which play it no more */
    uint16_t weight, cap;
    uint16_t next, prev;          /* in the pool's list, domids */
    uint32_t active_vcpus;        /* credit: how many; in the list if any */
    int64_t whole_budget, budget; /* credit2, in the list under a cap: ns of a period, and left */
    uint64_t replenish_at;
};

struct sched_cpu {
    uint16_t pool;    /* a slot; NO_POOL: the CPU is free */
    uint16_t queue;   /* its runqueue, while it is in a pool */
    vcpu_ref current; /* NO_VCPU: idle */
    uint64_t since;   /* when `current` last was charged */
    uint64_t slice_end, tick_at;
    uint16_t idle_bias; /* credit: where the search starts for one near it that idles */
    uint64_t next;      /* when something happens here by itself */
    uint32_t heap_place;
    bool done; /* `current` has what it wanted, and was reported */
    uint64_t idle_time, idle_since;
};

/* The vcpus that wait for a CPU of a few, the most urgent first. */
struct sched_queue {
    vcpu_ref first, last;
    uint32_t cpu_count; /* 0: nobody uses it */
    struct cpu_mask cpus;
    /* The credit2 scheduler: the vcpus that belong to it, waiting or not. */
    vcpu_ref members;
    uint32_t max_weight;
    uint32_t bias; /* the CPU that it gave last */
    int32_t runnable;
    struct sched_load load, expected; /* the second with what has been moved */
    bool unbalanced;
};

/* CPUs with a scheduler of their own, and the domains that run on them. */
struct sched_pool {
    bool exists;
    uint32_t id;
    uint32_t scheduler; /* PV_SCHEDULER_* */
    uint32_t cpu_count, domains;
    struct cpu_mask cpus, idlers; /* who idles of the CPUs */
    uint32_t bias;                /* the CPU at which the next search for an idle one starts */
    bool soft_affinity;           /* some vcpu may have had one */
    uint32_t ratelimit_us;
    uint64_t timer_at;     /* when something happens in it by itself */
    uint16_t first_active; /* domid: the domains that this concerns */
    uint32_t active_domains;
    /* The credit scheduler. */
    uint32_t slice_us, migration_delay_us;
    uint32_t weight; /* of all active vcpus */
    int64_t balance; /* credits of all of them, after the last accounting */
};

/* An attached process, in real time. */
struct sched_process {
    uint64_t clock;   /* CPU time it had used when last looked at */
    uint64_t total;   /* of that, one domain's share since the process came */
    uint32_t domains; /* that it plays */
};

struct scheduler {
    pthread_mutex_t lock;
    uint32_t cpus;                 /* 0: there is none, and domains run whenever they like */
    bool some_done;                /* of the CPUs */
    uint16_t heap[SCHED_MAX_CPUS]; /* by `next` */
    struct sched_cpu cpu[SCHED_MAX_CPUS];
    uint32_t core_cpus, socket_cpus; /* of a core, of a socket */
    uint32_t nodes;
    uint16_t stolen_from[SCHED_MAX_NODES]; /* credit, by node: whom the next search asks first */
    uint32_t credit2_runqueue;             /* PV_CREDIT2_RUNQUEUE_* */
    bool smt_power_savings;
    struct sched_queue queue[SCHED_MAX_CPUS];
    uint32_t pool_end; /* no slot from here on was ever in use */
    struct sched_pool pool[SCHED_MAX_POOLS];
    uint64_t began; /* when the machine was made */
    uint64_t used;  /* ns of CPU time of the processes that play domains */
    struct sched_process process[SCHED_MAX_CLIENTS];
    uint64_t decisions, switches, steals, boosts; /* counted */
};

#endif
