/* Why packets are dropped, in words, and an uplink that wants to know of them. */
#include "backends/vnif/netback_private.h"

const char *pv_netback_error_text(enum pv_netback_error error)
{
    static const char *const texts[PV_NETBACK_ERROR_COUNT] = {
        [PV_NETBACK_TOO_MANY_SLOTS] = "a packet has more than 18 slots after its first",
        [PV_NETBACK_BAD_SIZE] = "a slot is larger than what is left of its packet",
        [PV_NETBACK_TOO_SHORT] = "a packet has no room for an Ethernet header",
        [PV_NETBACK_BAD_GRANT] = "a slot's page cannot be read",
        [PV_NETBACK_BAD_GSO_PACKET] = "a packet to be cut up is not TCP of its kind",
        [PV_NETBACK_BAD_CHECKSUM] = "a blank checksum in what is neither TCP nor UDP",
        [PV_NETBACK_MULTICAST_FULL] = "there are too many multicast addresses",
        [PV_NETBACK_RING_OVERRUN] = "the frontend overran its ring",
        [PV_NETBACK_CUT_SHORT] = "slots of a packet are missing",
        [PV_NETBACK_FATAL_COUNT] = "a packet has more than 20 slots after its first",
        [PV_NETBACK_CROSSES_PAGE] = "a slot's data leave its page",
        [PV_NETBACK_BAD_EXTRA] = "an extra info is missing, or of an unknown type",
        [PV_NETBACK_BAD_GSO] = "a packet is to be cut up into segments of no size or no known type",
    };
    return error < PV_NETBACK_ERROR_COUNT ? texts[error] : "unknown";
}

static void tell(struct pv_netback_queue *queue, const struct pv_uplink_drop *drop)
{
    struct pv_uplink *uplink = queue->uplink;
    if (uplink->ops->dropped)
        uplink->ops->dropped(uplink, queue->uplink_queue, drop, queue->now);
}

/* What could not be copied is not shown: it is somebody else's bytes. */
void netback_tell_tx_drop(struct pv_netback_queue *queue, const struct tx_taken *taken)
{
    if (taken->multicast) /* no packet */
        return;
    tell(queue, &(struct pv_uplink_drop){
                    .direction = PV_UPLINK_TX,
                    .packet = taken->copy_failed ? NULL : taken->packet,
                    .length = taken->length,
                    .reason = taken->error == NETBACK_OK
                                  ? NETBACK_NO_MEMORY
                                  : pv_netback_error_text((enum pv_netback_error)taken->error)});
}

void netback_rx_drop(struct pv_netback_queue *queue, struct pv_packet *packet, const char *reason)
{
    tell(queue, &(struct pv_uplink_drop){.direction = PV_UPLINK_RX,
                                         .packet = packet,
                                         .length = packet->length,
                                         .reason = reason});
    pv_packet_release(queue->cache, &packet, 1);
}
