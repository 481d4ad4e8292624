/* The addresses that the guest wants multicast of. A guest may add one twice, as with Linux's
 * netback: it is then to be taken away twice. */
#include "backends/vnif/netback_private.h"

static uint32_t find(const struct netback_multicast *multicast, const uint8_t *address)
{
    uint32_t i = 0;
    while (i < multicast->count && memcmp(multicast->addresses[i], address, 6) != 0)
        i++;
    return i;
}

bool netback_multicast_add(struct netback_multicast *multicast, const uint8_t *address)
{
    if (multicast->count == PV_NETBACK_MAX_MULTICAST)
        return false;
    memcpy(multicast->addresses[multicast->count++], address, 6);
    return true;
}

void netback_multicast_del(struct netback_multicast *multicast, const uint8_t *address)
{
    uint32_t i = find(multicast, address);
    if (i == multicast->count)
        return;
    multicast->count--;
    memcpy(multicast->addresses[i], multicast->addresses[multicast->count], 6);
}

bool netback_multicast_passes(const struct netback_multicast *multicast, const uint8_t *address)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return !(address[0] & 1) || memcmp(address, broadcast, 6) == 0 ||
           find(multicast, address) < multicast->count;
}
