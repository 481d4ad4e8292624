/*
 * Where each vcpu's vcpu_info is: in shared_info, which has as many as the first guests had vcpus,
 * or where the guest has put it. A vcpu beyond those has one that no guest sees until then. Xen has
 * a single such dummy; here each vcpu has its own, so that no vcpu takes another one's events.
 */
#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/sim/events/internal.h"
#include "pvdrivers/sim/machine_vcpus.h"

#include <errno.h>
#include <string.h>

#define UNSEEN_STRIDE 64 /* bytes: the largest of any ABI */

static uint32_t legacy_vcpus(const struct domain *d)
{
    return d->abi == PV_ABI_IA64 ? XEN_LEGACY_MAX_VCPUS_ia64 : XEN_LEGACY_MAX_VCPUS_x86;
}

static uint64_t first_place(struct pv_machine *machine, const struct domain *d, uint32_t vcpu)
{
    uint64_t offset = vcpu < legacy_vcpus(d)
                          ? XENHEAP_SHARED_INFO + vcpu * pv_event_vcpu_info_size(domain_abi(d))
                          : XENHEAP_UNSEEN_VCPU_INFO + vcpu * UNSEEN_STRIDE;
    return (uint64_t)((uint8_t *)domain_xenheap(machine, d, offset) - machine->memory);
}

void vcpu_infos_init(struct pv_machine *machine, struct domain *d)
{
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        d->vcpu[vcpu].info = first_place(machine, d, vcpu);
}

uint64_t vcpu_info_page(struct pv_machine *machine, const struct domain *d, uint32_t vcpu)
{
    uint64_t info = d->vcpu[vcpu].info;
    bool registered = info < machine->shared->layout.xenheap;
    return registered ? info >> d->page_shift << (d->page_shift - FRAME_SHIFT) : NO_FRAME;
}

bool vcpu_info_is_seen(struct pv_machine *machine, const struct domain *d, uint32_t vcpu)
{
    return vcpu < legacy_vcpus(d) || vcpu_info_page(machine, d, vcpu) != NO_FRAME;
}

void vcpu_infos_release(struct pv_machine *machine, struct domain *d)
{
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++) {
        uint64_t mfn = vcpu_info_page(machine, d, vcpu);
        if (mfn == NO_FRAME)
            continue;
        event_page_let_go(d, mfn);
        d->vcpu[vcpu].info = first_place(machine, d, vcpu);
        event_page_settle(machine, d);
    }
}

/* What it says so far; all that may have been raised is raised, as no event may be lost. */
static void move(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint64_t place)
{
    uint32_t size = pv_event_vcpu_info_size(domain_abi(d));
    uint8_t *to = machine->memory + place;
    if (vcpu < legacy_vcpus(d)) {
        memcpy(to, machine->memory + d->vcpu[vcpu].info, size);
    } else {
        memset(to, 0, size);
        *pv_event_upcall_mask(&(struct pv_event_view){.vcpu_info = to}) = 1;
    }
    /* Release: what it says is there before anybody finds it. */
    __atomic_store_n(&d->vcpu[vcpu].info, place, __ATOMIC_RELEASE);
    event_page_settle(machine, d);
    struct pv_event_view view = event_view(machine, d, vcpu);
    for (evtchn_port_t port = 0; port < pv_event_2l_ports(view.abi); port += 32) {
        struct pv_event_bit selector = pv_event_selector_bit(&view, port);
        pv_fetch_or(selector.word, selector.mask); /* one step: the guest takes bits meanwhile */
    }
    send_upcall(machine, d, &view);
}

static int register_locked(struct pv_machine *machine, struct domain *d, uint32_t vcpu,
                           uint64_t mfn, uint32_t offset)
{
    if (domain_is_dying(d) || vcpu_info_page(machine, d, vcpu) != NO_FRAME)
        return -EINVAL;
    if (event_page_hold(machine, d, mfn))
        return -EINVAL;
    move(machine, d, vcpu, (mfn << FRAME_SHIFT) + offset);
    return 0;
}

int pv_vcpu_op_register_vcpu_info(struct pv_machine *machine, domid_t caller, uint32_t current,
                                  uint32_t vcpu, const struct vcpu_register_vcpu_info *info)
{
    RCU_SECTION(machine);
    struct domain *d = find_live_domain(machine, NULL, caller);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_VCPU_OP, 1);
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    uint32_t size = pv_event_vcpu_info_size(domain_abi(d));
    uint32_t word = domain_abi(d) == PV_ABI_X86_32 ? 4 : 8;
    if (info->offset > (1u << d->page_shift) - size || info->offset % word)
        return -ENXIO;
    uint64_t mfn = gfn_to_mfn(machine, d, info->mfn);
    if (mfn == NO_FRAME || (vcpu != current && !(vcpu_pause_flags(&d->vcpu[vcpu]) & VPF_down)))
        return -EINVAL;
    event_lock(machine, d);
    int error = register_locked(machine, d, vcpu, mfn, info->offset);
    event_unlock(machine, d);
    return error;
}
