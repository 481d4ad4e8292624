/* Where random operations go: each block once, or some far more often than others. */
#include "tools/pvbench/load/workload_private.h"

#include <math.h>

#define MAX_TERMS 10000000u /* of a zeta, as fio has it: what comes behind them is small */

/* Odd, so that multiplying by them modulo a power of two can be undone. */
static const uint64_t multipliers[] = {0x9e3779b97f4a7c15ull, 0xbf58476d1ce4e5b9ull,
                                       0x94d049bb133111ebull};

void pv_permutation_init(struct permutation *permutation, uint64_t count, uint64_t *random_state)
{
    unsigned bits = count > 1 ? 64u - (unsigned)__builtin_clzll(count - 1) : 1;
    permutation->count = count;
    permutation->mask = UINT64_MAX >> (64 - bits);
    permutation->shift = (bits + 1) / 2;
    for (unsigned i = 0; i < 3; i++)
        permutation->keys[i] = pv_workload_random(random_state);
}

/* Each step can be undone, so all of them are a bijection of the numbers up to the mask. What lies
 * beyond `count` is sent on until it comes back below it, which is a bijection again; it takes less
 * than two rounds on average. */
uint64_t pv_permutation_at(const struct permutation *permutation, uint64_t index)
{
    do {
        for (unsigned i = 0; i < 3; i++) {
            index = (index * multipliers[i] + permutation->keys[i]) & permutation->mask;
            index ^= index >> permutation->shift;
        }
    } while (index >= permutation->count);
    return index;
}

/* J. Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994: the rank
 * of a record by zipf's law, from one uniform number. */
static uint64_t zipf_rank(const struct pv_blk_workload *workload, double uniform)
{
    double theta = workload->config.theta;
    double nr_blocks = (double)workload->nr_blocks;
    double second = pow(0.5, theta);
    double z = uniform * workload->zeta;
    if (z < 1.0)
        return 0;
    if (z < 1.0 + second)
        return 1;
    double eta =
        (1.0 - pow(2.0 / nr_blocks, 1.0 - theta)) / (1.0 - (1.0 + second) / workload->zeta);
    return (uint64_t)(nr_blocks * pow(eta * uniform - eta + 1.0, 1.0 / (1.0 - theta)));
}

/* A self-similar distribution: a share h of the operations goes to 1 - h of the blocks. */
static uint64_t pareto_rank(const struct pv_blk_workload *workload, double uniform)
{
    double h = workload->config.theta;
    return (uint64_t)((double)(workload->nr_blocks - 1) * pow(uniform, log(h) / log(1.0 - h)));
}

uint64_t pv_workload_distributed(const struct pv_blk_workload *workload, struct job *job)
{
    double uniform = (double)(pv_workload_random(&job->random_state) >> 11) * 0x1p-53;
    uint64_t rank = workload->config.distribution == PV_BLK_ZIPF ? zipf_rank(workload, uniform)
                                                                 : pareto_rank(workload, uniform);
    /* Rounding may give the number of blocks itself. */
    if (rank >= workload->nr_blocks)
        rank = workload->nr_blocks - 1;
    return pv_permutation_at(&workload->scatter, rank);
}

void pv_workload_init_distribution(struct pv_blk_workload *workload)
{
    uint64_t state = workload->config.seed;
    uint64_t terms = workload->nr_blocks < MAX_TERMS ? workload->nr_blocks : MAX_TERMS;
    pv_permutation_init(&workload->scatter, workload->nr_blocks, &state);
    if (workload->config.distribution == PV_BLK_ZIPF)
        for (uint64_t i = 1; i <= terms; i++)
            workload->zeta += pow(1.0 / (double)i, workload->config.theta);
}
