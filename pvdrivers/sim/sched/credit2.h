/* What the files of the credit2 scheduler share (sched/credit2.c of Xen has the rules and numbers).
 */
#ifndef PVDRIVERS_SIM_SCHED_CREDIT2_H
#define PVDRIVERS_SIM_SCHED_CREDIT2_H

#include "pvdrivers/sim/sched/internal.h"

#define CREDIT2_INIT 10000000  /* ns of the highest weight; what all get at a reset */
#define CREDIT2_CARRY 500000   /* of it at most is kept over a reset */
#define CREDIT2_RESIST 500000  /* so much more has one that another CPU takes */
#define CREDIT2_MIN_RUN 500000 /* ns */
#define CREDIT2_IDLE (-CREDIT2_INIT - 1)
#define CREDIT2_PERIOD 10000000ull /* ns, of a cap */
#define LOAD_SHIFT 18
#define LOAD_WINDOW_SHIFT 20

static inline struct sched_queue *queue_of(struct pv_machine *machine,
                                           const struct sched_vcpu *vcpu)
{
    return &scheduler(machine)->queue[vcpu->queue];
}

static inline bool has_cap(struct pv_machine *machine, vcpu_ref ref)
{
    return domain_of(machine, ref)->sched.cap != 0;
}

/* ---- credit2_queues.c ---- */
/* The runqueue of a CPU that joins the pool. */
uint32_t credit2_queue_for(const struct scheduler *sched, const struct sched_pool *pool,
                           uint32_t cpu);

/* ---- credit2_members.c: who belongs to a runqueue, and what they burn ---- */
void credit2_join_queue(struct pv_machine *machine, vcpu_ref ref, uint16_t queue);
void credit2_leave_queue(struct pv_machine *machine, vcpu_ref ref);
void credit2_find_max_weight(struct pv_machine *machine, struct sched_queue *queue);
/* One that runs pays for it. */
void credit2_burn(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
/* Everybody gets new credits, so that the one who is next has some. */
void credit2_reset(struct pv_machine *machine, struct sched_queue *queue, vcpu_ref next,
                   uint64_t now);
/* ns in which the vcpu burns that much. */
int64_t credit2_time(struct pv_machine *machine, vcpu_ref ref, int64_t credit);

/* ---- credit2_tickle.c ---- */
/* An idle CPU of the vcpu's runqueue that is in the mask, or SCHED_MAX_CPUS. */
uint32_t credit2_find_idle(struct pv_machine *machine, vcpu_ref ref, const struct cpu_mask *cpus);
/* Some CPU chooses anew, now that the vcpu waits. */
void credit2_tickle(struct pv_machine *machine, vcpu_ref ref, uint64_t now);

/* ---- credit2_budget.c: caps ---- */
/* Gives one whose budget is used up a part of its domain's. Without any it is parked. */
bool credit2_grab(struct pv_machine *machine, vcpu_ref ref);
/* It runs no more, and its domain gets back what is left. */
void credit2_return(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
void credit2_set_cap(struct pv_machine *machine, struct domain *d, uint16_t cap, uint64_t now);
void credit2_replenish(struct pv_machine *machine, struct sched_pool *pool, uint64_t now);

/* ---- credit2_load.c: which runqueue ---- */
void credit2_add_load(struct sched_queue *queue, struct sched_vcpu *vcpu, int change, uint64_t now);
void credit2_place(struct pv_machine *machine, vcpu_ref ref);
/* Moves one, or two against each other, between this runqueue and the one that differs most. */
void credit2_balance(struct pv_machine *machine, struct sched_pool *pool, struct sched_queue *queue,
                     uint64_t now);

#endif
