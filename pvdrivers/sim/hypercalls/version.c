/* xen_version: what a domain may know of the hypervisor. */
#include "pvdrivers/sim/hypercalls/internal.h"

#include <stdio.h>
#include <string.h>

#define VIRT_START                                                                                 \
    0xffff800000000000ull /* where Xen begins in the address space of an x86-64 PV domain */

#ifdef __clang__
#define COMPILER "clang"
#else
#define COMPILER "gcc"
#endif

static long version(const struct hypercall *call, void *argument)
{
    (void)call, (void)argument;
    return PV_XEN_MAJOR << 16 | PV_XEN_MINOR;
}

static long extraversion(const struct hypercall *call, void *argument)
{
    (void)call;
    snprintf(argument, sizeof(xen_extraversion_t), PV_XEN_EXTRAVERSION);
    return 0;
}

/* Who compiled it and when is not said, so that builds are the same everywhere. */
static long compile_info(const struct hypercall *call, void *argument)
{
    struct xen_compile_info *info = argument;
    (void)call;
    snprintf(info->compiler, sizeof info->compiler, COMPILER " " __VERSION__);
    return 0;
}

static long capabilities(const struct hypercall *call, void *argument)
{
    (void)call;
    snprintf(argument, sizeof(xen_capabilities_info_t),
             "xen-3.0-x86_64 xen-3.0-x86_32p xen-3.0-ia64 ");
    return 0;
}

static long changeset(const struct hypercall *call, void *argument)
{
    (void)call;
    snprintf(argument, sizeof(xen_changeset_info_t), "unavailable");
    return 0;
}

static long platform_parameters(const struct hypercall *call, void *argument)
{
    (void)call;
    *(struct xen_platform_parameters *)argument =
        (struct xen_platform_parameters){.virt_start = VIRT_START};
    return 0;
}

/* Domains name their memory by guest frames, and the hypervisor translates. */
static long get_features(const struct hypercall *call, void *argument)
{
    struct xen_feature_info *info = argument;
    if (info->submap_idx != 0)
        return -EINVAL;
    info->submap = 1u << XENFEAT_auto_translated_physmap;
    if (!check_privilege(call))
        info->submap |= 1u << XENFEAT_dom0;
    return 0;
}

static long pagesize(const struct hypercall *call, void *argument)
{
    struct pv_domain_info info;
    (void)argument;
    int error = pv_domain_info(call->machine, call->caller, &info);
    return error ? error : (long)info.page_size;
}

static long guest_handle(const struct hypercall *call, void *argument)
{
    struct pv_domain_info info;
    int error = pv_domain_info(call->machine, call->caller, &info);
    if (!error)
        memcpy(argument, info.handle, sizeof info.handle);
    return error;
}

/* The machine has none. Who may not know gets Xen's word for that. */
static long commandline(const struct hypercall *call, void *argument)
{
    if (check_privilege(call))
        snprintf(argument, sizeof(xen_commandline_t), "<denied>");
    return 0;
}

static long build_id(const struct hypercall *call, void *argument)
{
    int error = check_privilege(call);
    (void)argument;
    return error ? error : -ENODATA;
}

static const struct operation operations[] = {
    [XENVER_version] = {0, 0, version},
    [XENVER_extraversion] = {sizeof(xen_extraversion_t), OUT, extraversion},
    [XENVER_compile_info] = {sizeof(struct xen_compile_info), OUT, compile_info},
    [XENVER_capabilities] = {sizeof(xen_capabilities_info_t), OUT, capabilities},
    [XENVER_changeset] = {sizeof(xen_changeset_info_t), OUT, changeset},
    [XENVER_platform_parameters] = {sizeof(struct xen_platform_parameters), OUT,
                                    platform_parameters},
    [XENVER_get_features] = {sizeof(struct xen_feature_info), BOTH, get_features},
    [XENVER_pagesize] = {0, 0, pagesize},
    [XENVER_guest_handle] = {sizeof(xen_domain_handle_t), OUT, guest_handle},
    [XENVER_commandline] = {sizeof(xen_commandline_t), OUT, commandline},
    [XENVER_build_id] = {0, 0, build_id},
};

long do_xen_version(const struct hypercall *call)
{
    return RUN_OPERATION(call, operations, (uint32_t)call->args[0], call->args[1]);
}
