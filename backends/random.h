/* Numbers from a seed and a count: the count is all of their state, so that a run can be played
 * again. */
#ifndef BACKENDS_RANDOM_H
#define BACKENDS_RANDOM_H

#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014): good numbers from a counter. */
static inline uint64_t seeded_random(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From 0 to below 1. */
static inline double seeded_chance(uint64_t seed, uint64_t index)
{
    return (double)(seeded_random(seed, index) >> 11) * 0x1p-53;
}

#endif
