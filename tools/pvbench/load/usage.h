/* What a thread has used of its processor. */
#ifndef TOOLS_PVBENCH_LOAD_USAGE_H
#define TOOLS_PVBENCH_LOAD_USAGE_H

#include "tools/pvbench/load/wait.h"

#include <sys/resource.h>

struct load_usage {
    uint64_t user_ns, system_ns, context_switches, major_faults, minor_faults;
};

static inline uint64_t load_timeval_ns(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

/* Of the calling thread, since it began. */
static inline struct load_usage load_usage_now(void)
{
    struct rusage now;
    getrusage(RUSAGE_THREAD, &now);
    return (struct load_usage){.user_ns = load_timeval_ns(&now.ru_utime),
                               .system_ns = load_timeval_ns(&now.ru_stime),
                               .context_switches = (uint64_t)(now.ru_nvcsw + now.ru_nivcsw),
                               .major_faults = (uint64_t)now.ru_majflt,
                               .minor_faults = (uint64_t)now.ru_minflt};
}

#endif
