#include "pvdrivers/sim/core/machine.h"

static struct pv_trace_record *records(struct pv_machine *machine)
{
    return (struct pv_trace_record *)((uint8_t *)machine->shared + machine->shared->layout.trace);
}

void pv_machine_trace_enable(struct pv_machine *machine, bool enabled)
{
    __atomic_store_n(&machine->shared->trace.enabled, enabled, __ATOMIC_RELAXED);
}

void pv_machine_trace(struct pv_machine *machine, enum pv_trace_event event, domid_t domid,
                      uint32_t a, uint64_t b, uint64_t c)
{
    uint64_t index = __atomic_fetch_add(&machine->shared->trace.next, 1, __ATOMIC_RELAXED);
    records(machine)[index % TRACE_RECORDS] =
        (struct pv_trace_record){.time = pv_machine_now(machine),
                                 .event = (uint16_t)event,
                                 .domid = domid,
                                 .a = a,
                                 .b = b,
                                 .c = c};
}

int pv_machine_trace_read(struct pv_machine *machine, uint64_t *cursor, struct pv_trace_record *out,
                          uint32_t max, uint64_t *lost)
{
    uint64_t next = __atomic_load_n(&machine->shared->trace.next, __ATOMIC_ACQUIRE);
    if (next - *cursor > TRACE_RECORDS) {
        *lost += next - *cursor - TRACE_RECORDS;
        *cursor = next - TRACE_RECORDS;
    }
    uint32_t count = next - *cursor < max ? (uint32_t)(next - *cursor) : max;
    for (uint32_t i = 0; i < count; i++)
        out[i] = records(machine)[(*cursor)++ % TRACE_RECORDS];
    return (int)count;
}
