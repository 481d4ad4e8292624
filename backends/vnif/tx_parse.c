/* Which slots are a packet, and whether they may be, in the order of Linux's netback: a packet with
 * two faults is treated alike by both. */
#include "backends/vnif/netback_private.h"

/* Copies the next slot; from here on only the copy exists. */
static union netif_tx_sring_entry *take_slot(struct netback_tx *tx, struct tx_taken *taken)
{
    union netif_tx_sring_entry *slot = &tx->slots[tx->slot_count++];
    pv_back_copy_request(&tx->ring, tx->ring.req_cons++, slot, sizeof *slot);
    taken->slots++;
    return slot;
}

static int parse_extras(struct netback_tx *tx, uint32_t ready, struct tx_taken *taken)
{
    const struct netif_extra_info *extra;
    do {
        if (taken->slots == ready)
            return PV_NETBACK_BAD_EXTRA;
        uint16_t place = (uint16_t)taken->slots;
        extra = (const void *)take_slot(tx, taken);
        taken->extras++;
        switch (extra->type) {
        case XEN_NETIF_EXTRA_TYPE_GSO:
            taken->gso = place;
            break;
        case XEN_NETIF_EXTRA_TYPE_HASH:
            taken->hash = place;
            break;
        case XEN_NETIF_EXTRA_TYPE_MCAST_ADD:
        case XEN_NETIF_EXTRA_TYPE_MCAST_DEL:
            taken->multicast = place;
            break;
        case XEN_NETIF_EXTRA_TYPE_XDP: /* means nothing in this direction */
            break;
        default:
            return PV_NETBACK_BAD_EXTRA;
        }
    } while (extra->flags & XEN_NETIF_EXTRA_FLAG_MORE);
    return NETBACK_OK;
}

/* After the first slot and its extra infos. Of a packet that is to be dropped all slots are taken
 * too. */
static int parse_fragments(struct netback_tx *tx, uint32_t ready, uint32_t page_size,
                           struct tx_taken *taken)
{
    const struct netif_tx_request *fragment;
    int error = NETBACK_OK;
    uint32_t count = 0;
    do {
        if (taken->slots == ready)
            return PV_NETBACK_CUT_SHORT;
        if (count == PV_NETBACK_FATAL_SLOTS)
            return PV_NETBACK_FATAL_COUNT;
        if (error == NETBACK_OK && count >= XEN_NETIF_NR_SLOTS_MIN)
            error = PV_NETBACK_TOO_MANY_SLOTS;
        fragment = &take_slot(tx, taken)->req;
        if (error == NETBACK_OK && fragment->size > taken->first_length)
            error = PV_NETBACK_BAD_SIZE;
        taken->first_length -= fragment->size;
        count++;
        if ((uint32_t)fragment->offset + fragment->size > page_size)
            return PV_NETBACK_CROSSES_PAGE;
    } while (fragment->flags & NETTXF_more_data);
    return error;
}

static int check_gso(const struct netif_extra_info *gso)
{
    bool known =
        gso->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 || gso->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6;
    return known && gso->u.gso.size ? NETBACK_OK : PV_NETBACK_BAD_GSO;
}

int netback_tx_parse(struct netback_tx *tx, uint32_t ready, uint32_t page_size,
                     struct tx_taken *taken)
{
    int error = NETBACK_OK;
    *taken = (struct tx_taken){.slot = &tx->slots[tx->slot_count]};
    const struct netif_tx_request *first = &take_slot(tx, taken)->req;
    taken->length = taken->first_length = first->size;
    if (first->flags & NETTXF_extra_info)
        error = parse_extras(tx, ready, taken);
    if (error != NETBACK_OK || taken->multicast) /* that is a request without a packet */
        return error;
    if (first->flags & NETTXF_more_data)
        error = parse_fragments(tx, ready, page_size, taken);
    if (error != NETBACK_OK)
        return error;
    if (taken->length < PV_PACKET_MIN_LENGTH)
        return PV_NETBACK_TOO_SHORT;
    if ((uint32_t)first->offset + taken->first_length > page_size)
        return PV_NETBACK_CROSSES_PAGE;
    return taken->gso ? check_gso((const void *)&taken->slot[taken->gso]) : NETBACK_OK;
}
