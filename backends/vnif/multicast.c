/* The addresses that the guest wants multicast of, as a set: an address that is added twice is
 * there once. Linux's netback counts them; then a request that a killed backend has carried out,
 * and its successor carries out again, would count twice. */
#include "backends/vnif/netback_private.h"

#define TAKEN (1ull << 48) /* so that no address is 0 */

static uint64_t pack(const uint8_t *address)
{
    uint64_t packed = TAKEN;
    for (int i = 0; i < 6; i++)
        packed |= (uint64_t)address[i] << 8 * i;
    return packed;
}

/* The place of an address, or of 0 a free one; PV_NETBACK_MAX_MULTICAST: there is none. */
static uint32_t find(const struct netback_multicast *multicast, uint64_t packed)
{
    uint32_t i = 0;
    while (i < PV_NETBACK_MAX_MULTICAST && multicast->addresses[i] != packed)
        i++;
    return i;
}

bool netback_multicast_add(struct netback_multicast *multicast, const uint8_t *address)
{
    uint64_t packed = pack(address);
    if (find(multicast, packed) < PV_NETBACK_MAX_MULTICAST)
        return true;
    uint32_t place = find(multicast, 0);
    if (place == PV_NETBACK_MAX_MULTICAST)
        return false;
    /* No order: who reads it has the vif's lock, or is a successor. */
    pv_write_once_64(&multicast->addresses[place], packed);
    return true;
}

void netback_multicast_del(struct netback_multicast *multicast, const uint8_t *address)
{
    uint32_t place = find(multicast, pack(address));
    if (place < PV_NETBACK_MAX_MULTICAST)
        pv_write_once_64(&multicast->addresses[place], 0); /* no order, as above */
}

bool netback_multicast_passes(const struct netback_multicast *multicast, const uint8_t *address)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return !(address[0] & 1) || multicast->incomplete || memcmp(address, broadcast, 6) == 0 ||
           find(multicast, pack(address)) < PV_NETBACK_MAX_MULTICAST;
}
