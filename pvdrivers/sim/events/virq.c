/* VIRQs: ports that the hypervisor itself raises. */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>

enum virq_kind { VIRQ_PER_VCPU, VIRQ_PER_DOMAIN, VIRQ_GLOBAL };

static enum virq_kind virq_kind(uint32_t virq)
{
    switch (virq) {
    case VIRQ_TIMER:
    case VIRQ_DEBUG:
    case VIRQ_XENOPROF:
    case VIRQ_XENPMU:
        return VIRQ_PER_VCPU;
    case VIRQ_ARGO:
        return VIRQ_PER_DOMAIN;
    default:
        return virq >= VIRQ_ARCH_0 ? VIRQ_PER_VCPU : VIRQ_GLOBAL;
    }
}

bool virq_is_per_vcpu(uint32_t virq)
{
    return virq_kind(virq) == VIRQ_PER_VCPU;
}

bool virq_is_global(uint32_t virq)
{
    return virq_kind(virq) == VIRQ_GLOBAL;
}

static domid_t *virq_handler(struct pv_machine *machine, uint32_t virq)
{
    return &machine->shared->event_handles.virq_handler[virq];
}

static int bind_virq_locked(struct pv_machine *machine, struct domain *d, uint32_t virq,
                            uint32_t vcpu, uint16_t handle)
{
    uint32_t *bound = &d->event_channels.vcpu[vcpu].virq_port[virq];
    if (domain_is_dying(d))
        return -EINVAL;
    if (virq_is_global(virq) &&
        __atomic_load_n(virq_handler(machine, virq), __ATOMIC_RELAXED) != d->domain_id)
        return -EBUSY;
    if (*bound)
        return -EEXIST;
    evtchn_port_t port = peek_free_port(machine, d);
    if (!port)
        return -ENOSPC;
    take_port(machine, d, port, handle, (struct binding){ECS_VIRQ, 0, virq})->notify_vcpu =
        (uint8_t)vcpu;
    *bound = port;
    return (int)port;
}

int bind_virq(struct pv_machine *machine, struct domain *d, uint32_t virq, uint32_t vcpu,
              uint16_t handle)
{
    if (virq >= NR_VIRQS || (!virq_is_per_vcpu(virq) && vcpu != 0))
        return -EINVAL;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    event_lock(machine, d);
    int result = bind_virq_locked(machine, d, virq, vcpu, handle);
    event_unlock(machine, d);
    return result;
}

int pv_machine_send_virq(struct pv_machine *machine, domid_t domid, uint32_t virq, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    if (virq >= NR_VIRQS || (!virq_is_per_vcpu(virq) && vcpu != 0))
        return -EINVAL;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    event_lock(machine, d);
    uint32_t port = d->event_channels.vcpu[vcpu].virq_port[virq];
    if (port)
        raise_port(machine, d, port);
    event_unlock(machine, d);
    return 0;
}

void send_global_virq(struct pv_machine *machine, uint32_t virq)
{
    domid_t handler = __atomic_load_n(virq_handler(machine, virq), __ATOMIC_RELAXED);
    pv_machine_send_virq(machine, handler, virq, 0);
}

/* A process that is killed in here takes them along: who waits for one looks again at the next. */
void raise_deferred_virqs(struct pv_machine *machine)
{
    uint32_t virqs = __atomic_exchange_n(&machine->shared->deferred_virqs, 0, __ATOMIC_SEQ_CST);
    for (; virqs; virqs &= virqs - 1)
        send_global_virq(machine, (uint32_t)__builtin_ctz(virqs));
}

int pv_machine_set_virq_handler(struct pv_machine *machine, domid_t domid, uint32_t virq)
{
    RCU_SECTION(machine);
    if (!find_domain(machine, domid))
        return -ESRCH;
    if (virq >= NR_VIRQS || !virq_is_global(virq))
        return -EINVAL;
    __atomic_store_n(virq_handler(machine, virq), domid, __ATOMIC_RELAXED);
    return 0;
}
