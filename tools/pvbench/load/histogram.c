#include "tools/pvbench/load/histogram.h"

#define SUB_BITS 7
#define SUB_COUNT (1u << SUB_BITS)

static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (uint32_t)value;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - SUB_BITS;
    uint64_t bucket = (uint64_t)shift * SUB_COUNT + (value >> shift);
    return bucket < PV_HISTOGRAM_BUCKETS ? (uint32_t)bucket : PV_HISTOGRAM_BUCKETS - 1;
}

uint64_t pv_histogram_value(uint32_t bucket)
{
    if (bucket < 2 * SUB_COUNT)
        return bucket;
    uint32_t shift = bucket / SUB_COUNT - 1;
    uint64_t start = (uint64_t)(bucket - shift * SUB_COUNT) << shift;
    return start + (1ull << shift) / 2;
}

void pv_histogram_add(struct pv_histogram *histogram, uint64_t value)
{
    if (histogram->count++ == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->sum += (double)value;
    histogram->sum_of_squares += (double)value * (double)value;
    histogram->buckets[bucket_of(value)]++;
}

double pv_histogram_mean(const struct pv_histogram *histogram)
{
    return histogram->count ? histogram->sum / (double)histogram->count : 0.0;
}

double pv_histogram_variance(const struct pv_histogram *histogram)
{
    if (histogram->count < 2)
        return 0.0;
    double mean = pv_histogram_mean(histogram);
    double squares = histogram->sum_of_squares - mean * histogram->sum;
    return squares > 0 ? squares / (double)(histogram->count - 1) : 0.0;
}

uint64_t pv_histogram_percentile(const struct pv_histogram *histogram, double percentile)
{
    double rank = percentile / 100.0 * (double)histogram->count;
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < PV_HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen == 0 || (double)seen < rank)
            continue;
        uint64_t value = pv_histogram_value(bucket);
        value = value < histogram->min ? histogram->min : value;
        return value > histogram->max ? histogram->max : value;
    }
    return histogram->max;
}

uint64_t pv_histogram_up_to(const struct pv_histogram *histogram, uint64_t value)
{
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket <= bucket_of(value); bucket++)
        seen += histogram->buckets[bucket];
    return seen;
}
