/* Runstates, as guests see them: by a call, and in their own memory. */
#include "pvdrivers/ring/abi_vcpu.h"
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/machine_vcpus.h"
#include "pvdrivers/sim/memory/memory.h"
#include "pvdrivers/sim/sched/internal.h"

#include <errno.h>

#define MAX_ADDRESS (1ull << 50) /* of IA-64, the largest of any ABI */

/* ---- What is said: under the lock ------------------------------------------------------------ */

void runstate_times(struct pv_machine *machine, const struct domain *d, uint32_t id, uint64_t *time)
{
    const struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    memcpy(time, vcpu->time, sizeof vcpu->time);
    time[vcpu->state] += pv_machine_now(machine) - vcpu->state_since;
    uint64_t used = process_time_of(machine, d), *blocked = &time[RUNSTATE_blocked];
    time[RUNSTATE_running] += used;
    *blocked -= used < *blocked ? used : *blocked; /* more: of several threads */
}

/* In real time nobody but its processes knows when a vcpu runs: whenever it may. */
static uint32_t real_state(const struct domain *d, uint32_t id)
{
    uint32_t flags = vcpu_pause_flags(&d->vcpu[id]);
    if (flags & VPF_blocked)
        return RUNSTATE_blocked;
    return flags || !d->sched.runnable ? RUNSTATE_offline : RUNSTATE_running;
}

/* With the times up to now. */
static struct vcpu_runstate_info info_now(struct pv_machine *machine, const struct domain *d,
                                          uint32_t id)
{
    const struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    struct vcpu_runstate_info info = {.state = vcpu->state, .state_entry_time = vcpu->state_since};
    runstate_times(machine, d, id, info.time);
    if (!is_scheduled(machine)) {
        info.state = real_state(d, id);
        info.state_entry_time = pv_machine_now(machine);
    }
    return info;
}

/* With the times up to the state's beginning, to which a guest adds what has passed since. */
static struct vcpu_runstate_info info_at_entry(struct pv_machine *machine, const struct domain *d,
                                               uint32_t id)
{
    const struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    if (!is_scheduled(machine))
        return info_now(machine, d, id);
    struct vcpu_runstate_info info = {.state = vcpu->state, .state_entry_time = vcpu->state_since};
    memcpy(info.time, vcpu->time, sizeof info.time);
    return info;
}

/* A vcpu_op of the domain's, which pays for it; -ENOENT: it has no such vcpu. */
static int begin_call(struct pv_machine *machine, domid_t caller, uint32_t id, struct domain **d)
{
    int error = sched_find(machine, caller, id, d);
    if (!error)
        account(*d, PV_ACCOUNT_VCPU_OP, 1);
    return error == -EINVAL ? -ENOENT : error;
}

int pv_vcpu_op_get_runstate_info(struct pv_machine *machine, domid_t caller, uint32_t id,
                                 struct vcpu_runstate_info *info)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, id, &d);
    if (error)
        return error;
    sched_lock(machine);
    *info = info_now(machine, d, id);
    sched_unlock(machine);
    return 0;
}

/* ---- The area -------------------------------------------------------------------------------- */

/* In the layout of the guest's ABI, ia64's is x86_64's; how many bytes. */
static uint32_t lay_out(enum pv_abi abi, const struct vcpu_runstate_info *info, void *bytes)
{
    if (abi != PV_ABI_X86_32) {
        memcpy(bytes, info, sizeof *info);
        return sizeof *info;
    }
    struct vcpu_runstate_info_x86_32 small = {.state = info->state,
                                              .state_entry_time = info->state_entry_time};
    memcpy(small.time, info->time, sizeof small.time);
    memcpy(bytes, &small, sizeof small);
    return sizeof small;
}

/* As a copy to a guest's memory does that ends at a page which is not there. */
static void write_area(struct pv_machine *machine, const struct domain *d, uint32_t id)
{
    const struct runstate_area *area = &d->vcpu[id].sched.area;
    uint8_t bytes[sizeof(struct vcpu_runstate_info)];
    if (!area->page[0])
        return;
    struct vcpu_runstate_info info = info_at_entry(machine, d, id);
    uint32_t size = lay_out(domain_abi(d), &info, bytes);
    uint32_t left = (1u << d->page_shift) - area->offset, first = size < left ? size : left;
    memcpy((uint8_t *)frame_address(machine, area->page[0] - 1) + area->offset, bytes, first);
    if (first < size && area->page[1])
        memcpy(frame_address(machine, area->page[1] - 1), bytes + first, size - first);
}

void runstate_changed(struct pv_machine *machine, vcpu_ref ref)
{
    write_area(machine, domain_of(machine, ref), id_of(ref));
}

/* Under the event lock, as those that follow. */
static void set_page(struct pv_machine *machine, uint64_t *page, uint64_t mfn)
{
    sched_lock(machine);
    *page = mfn + 1;
    sched_unlock(machine);
}

static void drop_page(struct pv_machine *machine, struct domain *d, uint64_t *page)
{
    event_page_let_go(d, *page - 1);
    set_page(machine, page, NO_FRAME);
    event_page_settle(machine, d);
}

static void take_page(struct pv_machine *machine, struct domain *d, uint64_t *page, uint64_t gfn)
{
    uint64_t mfn = gfn_to_own_mfn(machine, d, gfn);
    if (mfn == NO_FRAME || event_page_hold(machine, d, mfn))
        return;
    set_page(machine, page, mfn);
    event_page_settle(machine, d);
}

static void drop_area(struct pv_machine *machine, struct domain *d, uint32_t id)
{
    struct runstate_area *area = &d->vcpu[id].sched.area;
    for (int i = 0; i < 2; i++)
        if (area->page[i])
            drop_page(machine, d, &area->page[i]);
}

static void take_area(struct pv_machine *machine, struct domain *d, uint32_t id, uint64_t address)
{
    struct runstate_area *area = &d->vcpu[id].sched.area;
    struct vcpu_runstate_info info = {0};
    uint8_t bytes[sizeof info];
    uint64_t last = address + lay_out(domain_abi(d), &info, bytes) - 1;
    area->offset = address & ((1u << d->page_shift) - 1); /* there is no page yet */
    take_page(machine, d, &area->page[0], address >> d->page_shift);
    if (address >> d->page_shift != last >> d->page_shift)
        take_page(machine, d, &area->page[1], last >> d->page_shift);
    sched_lock(machine);
    write_area(machine, d, id);
    sched_unlock(machine);
}

int pv_vcpu_op_register_runstate_memory_area(struct pv_machine *machine, domid_t caller,
                                             uint32_t id,
                                             const struct vcpu_register_runstate_memory_area *area)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, id, &d);
    if (error)
        return error;
    if (area->p >= MAX_ADDRESS)
        return -EFAULT;
    event_lock(machine, d);
    if (domain_is_dying(d)) {
        error = -ESRCH;
    } else {
        drop_area(machine, d, id);
        if (area->p)
            take_area(machine, d, id, area->p);
    }
    event_unlock(machine, d);
    return error;
}

void runstate_areas_release(struct pv_machine *machine, struct domain *d)
{
    event_lock(machine, d);
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        drop_area(machine, d, id);
    event_unlock(machine, d);
}
