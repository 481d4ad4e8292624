/*
 * Any hypercall with any arguments, from bytes that a seed decides; tests/fuzz/fuzz_hypercalls.c
 * has a fuzzer decide them.
 *
 * PVDRIVERS_STRESS_SEEDS=N    how many seeds (default 400); for long campaigns
 */
#include "any_hypercall.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES 12000 /* some 200 hypercalls */

static void fill(uint8_t *bytes, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15ull;
    for (size_t i = 0; i < BYTES; i++) {
        state ^= state << 13; /* xorshift */
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 24);
    }
}

int main(void)
{
    static uint8_t bytes[BYTES];
    const char *text = getenv("PVDRIVERS_STRESS_SEEDS");
    uint64_t seeds = text ? strtoull(text, NULL, 10) : 400;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        printf("seed %llu\n", (unsigned long long)seed);
        fflush(stdout);
        fill(bytes, seed);
        any_hypercalls(bytes, BYTES);
    }
    return 0;
}
