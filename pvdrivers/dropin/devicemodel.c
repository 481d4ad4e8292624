/*
 * libxendevicemodel.so.1. The machine's domains are paravirtual, and for those Xen refuses every
 * operation of a device model with EINVAL; so does this library.
 */
#include "pvdrivers/dropin/dropin.h"

typedef struct xendevicemodel_handle {
    struct dropin_handle base;
} xendevicemodel_handle;

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return dropin_open(sizeof(xendevicemodel_handle), DROPIN_ONE_DOMAIN);
}

int xendevicemodel_close(xendevicemodel_handle *handle)
{
    if (handle)
        dropin_close(&handle->base);
    return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *handle, domid_t domid)
{
    return dropin_restrict(&handle->base, domid);
}

/* The arguments that follow are left unread, as the C calling convention allows. */
#define PARAVIRTUAL_DOMAIN(operation)                                                              \
    int xendevicemodel_##operation(const xendevicemodel_handle *handle, domid_t domid)             \
    {                                                                                              \
        struct pv_domain_info info;                                                                \
        if (!dropin_allows(&handle->base, domid))                                                  \
            return -1;                                                                             \
        int error = pv_domain_info(handle->base.machine, domid, &info);                            \
        return dropin_result(error ? error : -EINVAL);                                             \
    }

PARAVIRTUAL_DOMAIN(create_ioreq_server)
PARAVIRTUAL_DOMAIN(get_ioreq_server_info)
PARAVIRTUAL_DOMAIN(map_io_range_to_ioreq_server)
PARAVIRTUAL_DOMAIN(unmap_io_range_from_ioreq_server)
PARAVIRTUAL_DOMAIN(map_mem_type_to_ioreq_server)
PARAVIRTUAL_DOMAIN(map_pcidev_to_ioreq_server)
PARAVIRTUAL_DOMAIN(unmap_pcidev_from_ioreq_server)
PARAVIRTUAL_DOMAIN(destroy_ioreq_server)
PARAVIRTUAL_DOMAIN(set_ioreq_server_state)
PARAVIRTUAL_DOMAIN(set_pci_intx_level)
PARAVIRTUAL_DOMAIN(set_isa_irq_level)
PARAVIRTUAL_DOMAIN(set_irq_level)
PARAVIRTUAL_DOMAIN(set_pci_link_route)
PARAVIRTUAL_DOMAIN(inject_msi)
PARAVIRTUAL_DOMAIN(track_dirty_vram)
PARAVIRTUAL_DOMAIN(modified_memory)
PARAVIRTUAL_DOMAIN(modified_memory_bulk)
PARAVIRTUAL_DOMAIN(set_mem_type)
PARAVIRTUAL_DOMAIN(inject_event)
PARAVIRTUAL_DOMAIN(shutdown)
PARAVIRTUAL_DOMAIN(relocate_memory)
PARAVIRTUAL_DOMAIN(pin_memory_cacheattr)
PARAVIRTUAL_DOMAIN(nr_vcpus)
