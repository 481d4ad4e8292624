/* How a record gets into a buffer, by the rules of Xen's common/trace.c. */
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/xentrace/internal.h"

#define TIME_WORDS 2u
#define LOST_WORDS 4u

struct record {
    uint32_t event, count;
    bool timed;
    uint64_t tsc;
    const uint32_t *extra;
};

static uint32_t size_of(const struct record *record)
{
    return 4 * (1 + (record->timed ? TIME_WORDS : 0) + record->count);
}

/* A class, and in it a subclass, of the mask. */
static bool is_wanted(const struct xentrace *trace, uint32_t cpu, uint32_t event)
{
    uint32_t mask = trace->event_mask, both = mask & event;
    return both >> TRC_CLS_SHIFT && both >> TRC_SUBCLS_SHIFT & 0xf &&
           trace->cpus[cpu / 64] >> cpu % 64 & 1;
}

uint32_t unconsumed(const struct pv_machine *machine, uint32_t cpu)
{
    const struct xentrace *trace = xentrace(machine);
    uint32_t size = data_size(trace), prod = trace->cpu[cpu].prod;
    /* Acquire: what the consumer has read is not written before it has read it. */
    uint32_t cons = __atomic_load_n(&buffer_of(machine, cpu)->cons, __ATOMIC_ACQUIRE);
    uint32_t used = prod - cons + (prod < cons ? 2 * size : 0);
    return cons % 4 || cons >= 2 * size || used > size ? UINT32_MAX : used;
}

static uint32_t before_end(const struct xentrace *trace, uint32_t cpu)
{
    return data_size(trace) - trace->cpu[cpu].prod % data_size(trace);
}

/* Where there is room for it before the end. */
static void put(struct pv_machine *machine, uint32_t cpu, const struct record *record)
{
    struct xentrace *trace = xentrace(machine);
    struct t_buf *buffer = buffer_of(machine, cpu);
    uint32_t size = data_size(trace), prod = trace->cpu[cpu].prod;
    uint32_t *word = (uint32_t *)((uint8_t *)(buffer + 1) + prod % size);
    *word++ = record->event | record->count << TRACE_EXTRA_SHIFT |
              (record->timed ? TRC_HD_CYCLE_FLAG : 0);
    if (record->timed) {
        *word++ = (uint32_t)record->tsc;
        *word++ = (uint32_t)(record->tsc >> 32);
    }
    for (uint32_t i = 0; i < record->count; i++)
        *word++ = record->extra ? record->extra[i] : 0;
    prod = (prod + size_of(record)) % (2 * size);
    trace->cpu[cpu].prod = prod;
    /* Release: the record is there when the consumer sees that it is. */
    __atomic_store_n(&buffer->prod, prod, __ATOMIC_RELEASE);
}

/* One that fills what is left before the end; with a time where there are too many words else. */
static void put_wrap(struct pv_machine *machine, uint32_t cpu)
{
    uint32_t words = before_end(xentrace(machine), cpu) / 4 - 1;
    bool timed = words > TRACE_EXTRA_MAX;
    put(machine, cpu,
        &(struct record){TRC_TRACE_WRAP_BUFFER, timed ? words - TIME_WORDS : words, timed, 0,
                         NULL});
}

static void put_anywhere(struct pv_machine *machine, uint32_t cpu, const struct record *record)
{
    if (size_of(record) > before_end(xentrace(machine), cpu))
        put_wrap(machine, cpu);
    put(machine, cpu, record);
}

/* Bytes that it takes when `*left` are left before the end; `*left` behind it. */
static uint32_t needed(const struct xentrace *trace, const struct record *record, uint32_t *left)
{
    uint32_t size = size_of(record), wrap = size > *left ? *left : 0;
    *left = wrap ? data_size(trace) - size : *left - size;
    if (*left == 0)
        *left = data_size(trace);
    return wrap + size;
}

/* domid | vcpu << 16 of whom the CPU runs. */
static uint32_t running(const struct pv_machine *machine, uint32_t cpu)
{
    vcpu_ref ref = __atomic_load_n(&machine->shared->scheduler.cpu[cpu].current, __ATOMIC_RELAXED);
    return ref == NO_VCPU ? DOMID_IDLE | cpu << 16 : domid_of(ref) | (uint32_t)id_of(ref) << 16;
}

static void insert(struct pv_machine *machine, uint32_t cpu, const struct record *record,
                   uint32_t used)
{
    struct xentrace *trace = xentrace(machine);
    struct xentrace_cpu *own = &trace->cpu[cpu];
    const uint32_t extra[LOST_WORDS] = {own->lost, running(machine, cpu), (uint32_t)own->lost_since,
                                        (uint32_t)(own->lost_since >> 32)};
    const struct record lost = {TRC_LOST_RECORDS, LOST_WORDS, true, record->tsc, extra};
    uint32_t size = data_size(trace), left = before_end(trace, cpu), total = 0;
    if (own->lost)
        total += needed(trace, &lost, &left);
    total += needed(trace, record, &left);
    if (total > size - used) {
        if (own->lost++ == 0)
            own->lost_since = record->tsc;
        return;
    }
    if (own->lost)
        put_anywhere(machine, cpu, &lost);
    own->lost = 0;
    put_anywhere(machine, cpu, record);
    if (used < size / 2 && used + total >= size / 2)
        defer_virq(machine->shared, VIRQ_TBUF);
}

void xentrace_record(struct pv_machine *machine, uint32_t cpu, uint32_t event,
                     const uint32_t *extra, uint32_t count)
{
    struct xentrace *trace = xentrace(machine);
    sim_lock(&trace->lock); /* nothing to repair */
    if (trace->enabled && is_wanted(trace, cpu, event)) {
        uint64_t now = pv_machine_now(machine);
        trace->tsc = now > trace->tsc ? now : trace->tsc + 1;
        uint32_t used = unconsumed(machine, cpu);
        if (used != UINT32_MAX) {
            insert(machine, cpu, &(struct record){event, count, true, trace->tsc, extra}, used);
        } else {
            console_print(machine->shared, "trc#%u: bogus cons", cpu);
            __atomic_store_n(&trace->enabled, false, __ATOMIC_RELAXED);
        }
    }
    sim_unlock(&trace->lock);
}
