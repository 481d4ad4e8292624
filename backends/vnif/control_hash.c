/* What the guest may set of its hash, with the limits and the answers of Linux's netback. */
#include "backends/vnif/control_private.h"

static uint32_t set_algorithm(struct netback_hash *hash, uint32_t algorithm)
{
    if (algorithm > XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    hash->algorithm = algorithm;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t get_types(const struct netback_hash *hash, uint32_t *data)
{
    if (hash->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE)
        return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
    *data = NETBACK_HASH_TYPES;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_types(struct netback_hash *hash, uint32_t types)
{
    if (types & ~(uint32_t)NETBACK_HASH_TYPES ||
        hash->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    hash->types = types;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

static uint32_t set_key(struct pv_netback_vif *vif, struct netback_hash *hash, grant_ref_t ref,
                        uint32_t size)
{
    if (size > PV_HASH_MAX_KEY)
        return XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW;
    memset(hash->key, 0, sizeof hash->key);
    hash->key_size = size;
    return netback_copy_from_page(vif, ref, hash->key, (uint16_t)size)
               ? XEN_NETIF_CTRL_STATUS_SUCCESS
               : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
}

static uint32_t set_mapping_size(struct netback_hash *hash, uint32_t size)
{
    if (size > PV_NETBACK_MAX_MAPPING)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    hash->mapping_size = size;
    memset(hash->mapping, 0, sizeof hash->mapping);
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

/* XSA-270: the sum of offset and count may not wrap. */
static uint32_t set_mapping(struct pv_netback_vif *vif, struct netback_hash *hash, grant_ref_t ref,
                            uint32_t count, uint32_t offset)
{
    uint32_t end;
    if (__builtin_add_overflow(offset, count, &end) || end > hash->mapping_size)
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    if (!netback_copy_from_page(vif, ref, &hash->mapping[offset],
                                (uint16_t)(count * sizeof hash->mapping[0])))
        return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    for (uint32_t i = offset; i < end; i++)
        if (hash->mapping[i] >= vif->config.queues)
            return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
    return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

uint32_t netback_control_hash(struct pv_netback_vif *vif,
                              const struct xen_netif_ctrl_request *request,
                              struct netback_hash *hash, uint32_t *data)
{
    const uint32_t *given = request->data;
    switch (request->type) {
    case XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
        return get_types(hash, data);
    case XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
        return set_types(hash, given[0]);
    case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
        return set_key(vif, hash, given[0], given[1]);
    case XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
        *data = PV_NETBACK_MAX_MAPPING;
        return XEN_NETIF_CTRL_STATUS_SUCCESS;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
        return set_mapping_size(hash, given[0]);
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
        return set_mapping(vif, hash, given[0], given[1], given[2]);
    case XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
        return set_algorithm(hash, given[0]);
    default:
        return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
    }
}
