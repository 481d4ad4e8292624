/* How much work a GSO packet may make when it is cut. */
#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/c/frames.h"
#include "pvdrivers/vnif/headers.h"

#include <errno.h>
#include <netinet/in.h>

#define MAX 512
#define PAYLOAD 512u
#define EXTENSION 2048u /* bytes, the longest */

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;

/* IPv6 and TCP, and as many extension headers of the longest kind in between. */
static struct pv_packet *with_extensions(uint32_t extensions, uint16_t gso_size)
{
    uint32_t at = 54, length = at + extensions * EXTENSION + 20 + PAYLOAD, payload = length - at;
    static uint8_t bytes[PV_PACKET_MAX_LENGTH];
    memset(bytes, 0, length);
    memcpy(bytes,
           (uint8_t[]){MACS, IPV6, IPV6_START(payload, extensions ? IPPROTO_DSTOPTS : IPPROTO_TCP)},
           54);
    for (uint32_t i = 0; i < extensions; i++, at += EXTENSION) {
        bytes[at] = i + 1 < extensions ? IPPROTO_DSTOPTS : IPPROTO_TCP;
        bytes[at + 1] = EXTENSION / 8 - 1;
    }
    memcpy(bytes + at, (uint8_t[]){TCP(5)}, 20);
    struct pv_packet *packet = frame_new(bytes, length);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
    packet->gso_size = gso_size;
    return packet;
}

static int segment(uint32_t extensions, uint16_t gso_size)
{
    static struct pv_packet *segments[MAX];
    struct pv_packet *packet = with_extensions(extensions, gso_size);
    int count = pv_packet_segment(packet, cache, false, segments, MAX);
    if (count > 0)
        pv_packet_release(cache, segments, (uint32_t)count);
    frame_free(packet);
    return count;
}

static void test_many_segments_have_short_headers(void)
{
    assert(segment(0, 1) == 512);
    assert(segment(8, 100) == 6);
    assert(segment(8, 1) == -ENOSPC); /* 8 MiB of headers for 17 KiB */
}

int main(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    test_many_segments_have_short_headers();
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
