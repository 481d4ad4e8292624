/* The subsystem; and whether vcpus are up, with what context they began. */
#include "pvdrivers/sim/vcpus/internal.h"

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/events/events.h"

#include <string.h>

/* ---- Contexts -------------------------------------------------------------------------------- */

#define CONTEXT_STRIDE 0x6000 /* the largest, in whole pages */
static_assert(sizeof(struct vcpu_guest_context_ia64) <= CONTEXT_STRIDE, "the largest");

/* Of vcpu_guest_context: where its flags are, and the one of a vcpu that is up. */
#define VGCF_FLAGS_x86 512 /* behind fpu_ctxt */
#define VGCF_online_x86 (1u << 5)
#define VGCF_FLAGS_ia64 0

enum { CONTEXT_NONE, CONTEXT_COPIED, CONTEXT_SET }; /* Xen's is_initialised: the last */

struct context_area {
    uint8_t context[PV_MAX_VCPUS][CONTEXT_STRIDE];
};

uint32_t pv_vcpu_context_size(enum pv_abi abi)
{
    switch (abi) {
    case PV_ABI_X86_32:
        return PV_VCPU_CONTEXT_SIZE_x86_32;
    case PV_ABI_IA64:
        return sizeof(struct vcpu_guest_context_ia64);
    default:
        return PV_VCPU_CONTEXT_SIZE_x86_64;
    }
}

static void *context_of(struct pv_machine *machine, const struct domain *d, uint32_t vcpu)
{
    struct context_area *area = domain_area(machine, d, SUBSYSTEM_VCPUS);
    return area->context[vcpu];
}

static uint32_t *initialised(struct domain *d, uint32_t vcpu)
{
    return &d->vcpu[vcpu].initialised;
}

static bool is_initialised(struct domain *d, uint32_t vcpu)
{
    return __atomic_load_n(initialised(d, vcpu), __ATOMIC_ACQUIRE) == CONTEXT_SET;
}

int pv_vcpu_op_initialise(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                          const void *context)
{
    RCU_SECTION(machine);
    struct domain *d;
    uint32_t none = CONTEXT_NONE;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (error)
        return error;
    if (!vcpu_info_is_seen(machine, d, vcpu))
        return -EINVAL;
    if (!__atomic_compare_exchange_n(initialised(d, vcpu), &none, CONTEXT_COPIED, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -EEXIST;
    memcpy(context_of(machine, d, vcpu), context, pv_vcpu_context_size(domain_abi(d)));
    __atomic_store_n(initialised(d, vcpu), CONTEXT_SET, __ATOMIC_RELEASE);
    return 0;
}

static bool says_online(enum pv_abi abi, const void *context)
{
    uint32_t flags;
    const uint8_t *bytes = context;
    memcpy(&flags, bytes + (abi == PV_ABI_IA64 ? VGCF_FLAGS_ia64 : VGCF_FLAGS_x86), sizeof flags);
    return flags & (abi == PV_ABI_IA64 ? VGCF_online_ia64 : VGCF_online_x86);
}

int pv_vcpu_set_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                        const void *context)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_vcpu(machine, domid, vcpu, &d);
    if (error)
        return error;
    memcpy(context_of(machine, d, vcpu), context, pv_vcpu_context_size(domain_abi(d)));
    __atomic_store_n(initialised(d, vcpu), CONTEXT_SET, __ATOMIC_RELEASE);
    if (says_online(domain_abi(d), context))
        vcpu_set_paused(machine, d, vcpu, VPF_down, false);
    return 0;
}

int pv_vcpu_get_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu, void *context)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_vcpu(machine, domid, vcpu, &d);
    if (error)
        return error;
    if (!is_initialised(d, vcpu))
        return -ENODATA;
    memcpy(context, context_of(machine, d, vcpu), pv_vcpu_context_size(domain_abi(d)));
    return 0;
}

/* ---- Up and down ----------------------------------------------------------------------------- */

int pv_vcpu_op_up(struct pv_machine *machine, domid_t caller, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (!error && !is_initialised(d, vcpu))
        error = -EINVAL;
    if (!error)
        vcpu_set_paused(machine, d, vcpu, VPF_down, false);
    return error;
}

static bool is_up(const struct domain *d, uint32_t vcpu)
{
    return !(vcpu_pause_flags(&d->vcpu[vcpu]) & VPF_down);
}

static bool others_are_up(const struct domain *d, uint32_t vcpu)
{
    for (uint32_t other = 0; other < d->max_vcpus; other++)
        if (other != vcpu && is_up(d, other))
            return true;
    return false;
}

int pv_vcpu_op_down(struct pv_machine *machine, domid_t caller, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (error)
        return error;
    if (others_are_up(d, vcpu))
        vcpu_set_paused(machine, d, vcpu, VPF_down, true);
    else
        pv_domain_shutdown(machine, caller, SHUTDOWN_poweroff);
    return 0;
}

int pv_vcpu_op_is_up(struct pv_machine *machine, domid_t caller, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_vcpu(machine, caller, vcpu, &d);
    return error ? error : is_up(d, vcpu);
}

/* ---- The subsystem --------------------------------------------------------------------------- */

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    (void)config;
    timers_init(shared);
}

static uint64_t area_size(const struct machine_layout *layout)
{
    (void)layout;
    return sizeof(struct context_area);
}

/* A vcpu that is up has begun, with whatever context. */
static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    (void)machine, (void)config;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        if (is_up(d, vcpu))
            __atomic_store_n(initialised(d, vcpu), CONTEXT_SET, __ATOMIC_RELEASE);
    return 0;
}

/* Who sleeps until its vcpu runs again finds the domain's end. */
static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    timers_forget(machine, d);
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        vcpu_set_paused(machine, d, vcpu, VPF_blocked, false);
    return 0;
}

const struct subsystem vcpus_subsystem = {
    .init = init,
    .stop = timekeeper_stop,
    .serve = timekeeper_start,
    .next_event = timers_next,
    .pass_time = timers_expire,
    .area_size = area_size,
    .domain_create = create,
    .domain_destroy = destroy,
    .debug_key = {'a', "dump timers", .dump_domain = timers_dump},
};
