/* Latency histograms: 128 linear buckets in every power of two, so that a percentile is off by
 * less than 0.4 % of its value. Adding never allocates. */
#ifndef TOOLS_PVBENCH_LOAD_HISTOGRAM_H
#define TOOLS_PVBENCH_LOAD_HISTOGRAM_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define PV_HISTOGRAM_BUCKETS 4480 /* up to 2^41 - 1, 36 minutes in ns; more counts as the last */

struct pv_histogram {
    uint64_t count, min, max; /* min is 0 when there is nothing */
    double sum, sum_of_squares;
    uint64_t buckets[PV_HISTOGRAM_BUCKETS];
};

PV_API void pv_histogram_add(struct pv_histogram *histogram, uint64_t value);
PV_API double pv_histogram_mean(const struct pv_histogram *histogram);
PV_API double pv_histogram_variance(const struct pv_histogram *histogram);
/* The smallest value that `percentile` % of all values do not exceed; 0 when there is none. */
PV_API uint64_t pv_histogram_percentile(const struct pv_histogram *histogram, double percentile);
/* How many values are at most `value`, as exact as the buckets are. */
PV_API uint64_t pv_histogram_up_to(const struct pv_histogram *histogram, uint64_t value);
/* The value in the middle of a bucket. */
PV_API uint64_t pv_histogram_value(uint32_t bucket);
/* cffi: end */

#endif
