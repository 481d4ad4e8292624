/* The events subsystem: what becomes of a domain's ports and of a process's handles. */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <string.h>

/* ---- A domain -------------------------------------------------------------------------------- */

/* For the domid's next domain, as those from `end` on. */
static void wipe_vcpus(struct domain *d)
{
    memset(d->event_channels.vcpu, 0, d->max_vcpus * sizeof d->event_channels.vcpu[0]);
}

static int init_channels(struct domain *d, const struct pv_domain_config *config)
{
    struct event_channels *ec = &d->event_channels;
    uint32_t wanted = config->max_event_channels;
    if (wanted == 1)
        return -EINVAL; /* port 0 alone: no port to use */
    pv_write_once(&ec->max_ports,
                  wanted && wanted < EVTCHN_FIFO_NR_CHANNELS ? wanted : EVTCHN_FIFO_NR_CHANNELS);
    pv_write_once(&ec->end, 1);
    memset(&ec->end + 1, 0,
           offsetof(struct event_channels, vcpu) - offsetof(struct event_channels, first_free));
    ec->first_free = 1;
    return 0;
}

static uint64_t area_size(const struct machine_layout *layout)
{
    (void)layout;
    return sizeof(struct event_area);
}

static void init_domain(struct domain *d)
{
    sim_lock_init(&d->event_channels.lock);
}

/* The shape too: calls that found the domid's last domain may still look at it under the lock. */
static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    event_lock(machine, d);
    wipe_vcpus(d);
    domain_set_shape(d, config);
    vcpu_infos_init(machine, d);
    int error = init_channels(d, config);
    event_unlock(machine, d);
    return error;
}

static int address_size(const struct domain *d)
{
    return domain_abi(d) == PV_ABI_X86_32 ? 32 : 64;
}

int pv_domain_get_address_size(struct pv_machine *machine, domid_t domid)
{
    RCU_SECTION(machine);
    const struct domain *d = find_domain(machine, domid);
    return d ? address_size(d) : -ESRCH;
}

/* Another shape: its vcpu_infos lie elsewhere. */
static int switch_to_32(struct pv_machine *machine, struct domain *d)
{
    if (pv_read_once_64(&d->tot_pages) || domain_is_dying(d))
        return -EACCES;
    if (domain_abi(d) != PV_ABI_X86_64)
        return -EINVAL;
    __atomic_store_n(&d->abi, (uint8_t)PV_ABI_X86_32, __ATOMIC_RELAXED);
    vcpu_infos_init(machine, d);
    return 0;
}

int pv_domain_set_address_size(struct pv_machine *machine, domid_t domid, uint32_t bits)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    event_lock(machine, d);
    int error = bits == (uint32_t)address_size(d) ? 0
                : bits == 32                      ? switch_to_32(machine, d)
                                                  : -EINVAL;
    event_unlock(machine, d);
    return error;
}

/* Who runs guests listens. */
static void tell_of_unpaused(struct pv_machine *machine)
{
    send_global_virq(machine, PV_VIRQ_UNPAUSED);
}

/* Xenstored and toolstacks listen. */
static void tell_of_end(struct pv_machine *machine)
{
    send_global_virq(machine, VIRQ_DOM_EXC);
}

/* Closes the ports; peers see theirs become unbound. */
static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    if (from == 0) {
        /* A call that saw the domain alive is over once its lock has been ours. */
        event_lock(machine, d);
        event_unlock(machine, d);
    }
    evtchn_port_t next = close_ports(machine, d, from ? (evtchn_port_t)from : 1, CLOSE_BATCH);
    if (next)
        return next;
    event_lock(machine, d);
    fifo_destroy(machine, d);
    vcpu_infos_release(machine, d);
    event_unlock(machine, d);
    return 0;
}

const struct subsystem events_subsystem = {
    .attach = event_fds_init,
    .detach = event_fds_free,
    .client_left = event_slots_release_client,
    .deferred = raise_deferred_virqs,
    .area_size = area_size,
    .domain_init = init_domain,
    .domain_create = create,
    .domain_unpaused = tell_of_unpaused,
    .domain_ended = tell_of_end,
    .domain_destroy = destroy,
    .debug_key = {'e', "dump event channels", .dump_domain = events_dump},
};
