/* Sets of a machine's CPUs. */
#ifndef PVDRIVERS_SIM_SCHED_CPU_MASK_H
#define PVDRIVERS_SIM_SCHED_CPU_MASK_H

#include "pvdrivers/sim/sched/state.h"

/* CPUs whose numbers follow each other: `first` to `end` - 1. */
struct cpu_range {
    uint32_t first, end;
};

static inline bool mask_test(const struct cpu_mask *mask, uint32_t cpu)
{
    return mask->words[cpu / 64] >> cpu % 64 & 1;
}

static inline void mask_put(struct cpu_mask *mask, uint32_t cpu, bool set)
{
    mask->words[cpu / 64] &= ~(1ull << cpu % 64);
    mask->words[cpu / 64] |= (uint64_t)set << cpu % 64;
}

static inline bool mask_contains(const struct cpu_mask *all, const struct cpu_mask *part)
{
    uint64_t rest = 0;
    for (int i = 0; i < SCHED_MASK_WORDS; i++)
        rest |= part->words[i] & ~all->words[i];
    return rest == 0;
}

static inline bool mask_meets(const struct cpu_mask *a, const struct cpu_mask *b)
{
    uint64_t both = 0;
    for (int i = 0; i < SCHED_MASK_WORDS; i++)
        both |= a->words[i] & b->words[i];
    return both != 0;
}

static inline struct cpu_mask mask_both(const struct cpu_mask *a, const struct cpu_mask *b)
{
    struct cpu_mask both;
    for (int i = 0; i < SCHED_MASK_WORDS; i++)
        both.words[i] = a->words[i] & b->words[i];
    return both;
}

static inline struct cpu_mask mask_without(const struct cpu_mask *a, const struct cpu_mask *b)
{
    struct cpu_mask rest;
    for (int i = 0; i < SCHED_MASK_WORDS; i++)
        rest.words[i] = a->words[i] & ~b->words[i];
    return rest;
}

static inline void mask_put_range(struct cpu_mask *mask, struct cpu_range range, bool set)
{
    for (uint32_t cpu = range.first; cpu < range.end; cpu++)
        mask_put(mask, cpu, set);
}

/* How many of the range are in the mask. */
static inline uint32_t mask_count(const struct cpu_mask *mask, struct cpu_range range)
{
    uint32_t count = 0;
    for (uint32_t cpu = range.first; cpu < range.end; cpu = (cpu | 63) + 1) {
        uint32_t left = range.end - cpu;
        uint64_t bits = mask->words[cpu / 64] >> cpu % 64;
        count += (uint32_t)__builtin_popcountll(left < 64 ? bits & ((1ull << left) - 1) : bits);
    }
    return count;
}

static inline uint32_t mask_first(const struct cpu_mask *mask, struct cpu_range range)
{
    for (uint32_t cpu = range.first; cpu < range.end; cpu = (cpu | 63) + 1) {
        uint64_t bits = mask->words[cpu / 64] >> cpu % 64;
        if (bits) {
            cpu += (uint32_t)__builtin_ctzll(bits);
            return cpu < range.end ? cpu : SCHED_MAX_CPUS;
        }
    }
    return SCHED_MAX_CPUS;
}

/* The first CPU of the range from `from` on, round its end, that is in the mask; SCHED_MAX_CPUS:
 * none. */
static inline uint32_t mask_find(const struct cpu_mask *mask, struct cpu_range range, uint32_t from)
{
    struct cpu_range upper = {from > range.first ? from : range.first, range.end};
    uint32_t cpu = mask_first(mask, upper);
    return cpu == SCHED_MAX_CPUS ? mask_first(mask, range) : cpu;
}

#endif
