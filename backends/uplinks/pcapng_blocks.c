#include "backends/uplinks/pcapng_blocks.h"

#include "pvdrivers/ring/abi_netif.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum block_type { SECTION = 0x0A0D0D0A, INTERFACE = 1, STATISTICS = 5, PACKET = 6 };

enum option {
    END = 0,
    COMMENT = 1,
    SECTION_APPLICATION = 4,
    INTERFACE_NAME = 2,
    INTERFACE_TIME_RESOLUTION = 9,
    PACKET_FLAGS = 2,
    PACKET_HASH = 3,
    PACKET_DROPPED = 4,
    PACKET_QUEUE = 6,
    STATISTICS_SEEN = 4,
    STATISTICS_DROPPED_BELOW = 5,
    STATISTICS_NOT_RECORDED = 7,
    STATISTICS_RECORDED = 8,
};

#define LINKTYPE_ETHERNET 1
#define NANOSECONDS 9 /* a power of 10 */
#define HASH_TOEPLITZ 5

/* ---- Parts of blocks ------------------------------------------------------------------------- */

static void put(struct pcapng_block *block, const void *bytes, size_t length)
{
    assert(block->length + length <= sizeof(block->bytes));
    memcpy(block->bytes + block->length, bytes, length);
    block->length += (uint32_t)length;
}

static void put_16(struct pcapng_block *block, uint16_t value)
{
    put(block, &value, sizeof(value));
}

static void put_32(struct pcapng_block *block, uint32_t value)
{
    put(block, &value, sizeof(value));
}

static void pad(struct pcapng_block *block, uint32_t length)
{
    put(block, (uint8_t[4]){0}, -length & 3);
}

static void put_option(struct pcapng_block *block, enum option option, const void *bytes,
                       size_t length)
{
    put_16(block, (uint16_t)option);
    put_16(block, (uint16_t)length);
    put(block, bytes, length);
    pad(block, (uint32_t)length);
}

static void put_option_32(struct pcapng_block *block, enum option option, uint32_t value)
{
    put_option(block, option, &value, sizeof(value));
}

static void put_option_64(struct pcapng_block *block, enum option option, uint64_t value)
{
    put_option(block, option, &value, sizeof(value));
}

__attribute__((format(printf, 2, 3))) static void put_comment(struct pcapng_block *block,
                                                              const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    put_option(block, COMMENT, text, (size_t)length);
}

/* The length of the whole block stands in it twice; `more` is what is not in this part. */
static void begin(struct pcapng_block *block, enum block_type type)
{
    block->length = 0;
    put_32(block, type);
    put_32(block, 0);
}

static void end(struct pcapng_block *front, struct pcapng_block *last, uint32_t between)
{
    put_32(last, END); /* no more options */
    uint32_t length = last->length + 4 + between + (front == last ? 0 : front->length);
    put_32(last, length);
    memcpy(front->bytes + 4, &length, sizeof(length));
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

void pcapng_section(struct pcapng_block *block)
{
    begin(block, SECTION);
    put_32(block, 0x1A2B3C4D); /* tells the byte order */
    put_16(block, 1);          /* the version is 1.0 */
    put_16(block, 0);
    put(block, &(int64_t){-1}, 8); /* its length is not known yet */
    put_option(block, SECTION_APPLICATION, "pvdrivers", strlen("pvdrivers"));
    end(block, block, 0);
}

void pcapng_interface(struct pcapng_block *block, const char *name, uint32_t captured_max)
{
    begin(block, INTERFACE);
    put_16(block, LINKTYPE_ETHERNET);
    put_16(block, 0);
    put_32(block, captured_max);
    put_option(block, INTERFACE_NAME, name, strlen(name));
    put_option(block, INTERFACE_TIME_RESOLUTION, &(uint8_t){NANOSECONDS}, 1);
    end(block, block, 0);
}

static uint32_t flags_of(const struct pcapng_packet *packet)
{
    const struct pv_packet *its = packet->packet;
    return packet->direction | (its->csum_blank ? PCAPNG_CSUM_BLANK : 0) |
           (its->data_validated && !its->csum_blank ? PCAPNG_CSUM_VALID : 0) |
           (its->gso_type ? PCAPNG_GSO : 0);
}

void pcapng_packet(struct pcapng_block *front, struct pcapng_block *behind,
                   const struct pcapng_packet *packet)
{
    const struct pv_packet *its = packet->packet;
    begin(front, PACKET);
    put_32(front, packet->interface);
    put_32(front, (uint32_t)(packet->time >> 32));
    put_32(front, (uint32_t)packet->time);
    put_32(front, packet->captured);
    put_32(front, its->length);
    behind->length = 0;
    pad(behind, packet->captured);
    put_option_32(behind, PACKET_FLAGS, flags_of(packet));
    put_option_32(behind, PACKET_QUEUE, packet->queue);
    if (packet->not_recorded)
        put_option_64(behind, PACKET_DROPPED, packet->not_recorded);
    if (its->hash_algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ) {
        uint8_t hash[5] = {HASH_TOEPLITZ};
        memcpy(hash + 1, &its->hash, sizeof(its->hash));
        put_option(behind, PACKET_HASH, hash, sizeof(hash));
    }
    if (its->gso_type)
        put_comment(behind, "gso_type %u, gso_size %u", its->gso_type, its->gso_size);
    if (packet->drop_reason)
        put_comment(behind, "dropped: %s", packet->drop_reason);
    end(front, behind, packet->captured);
}

void pcapng_statistics(struct pcapng_block *block, const struct pcapng_statistics *statistics)
{
    begin(block, STATISTICS);
    put_32(block, statistics->interface);
    put_32(block, (uint32_t)(statistics->time >> 32));
    put_32(block, (uint32_t)statistics->time);
    put_option_64(block, STATISTICS_SEEN, statistics->seen);
    put_option_64(block, STATISTICS_RECORDED, statistics->recorded);
    put_option_64(block, STATISTICS_NOT_RECORDED, statistics->not_recorded);
    put_option_64(block, STATISTICS_DROPPED_BELOW, statistics->tx_dropped + statistics->rx_dropped);
    put_comment(block,
                "not recorded: %" PRIu64
                " (no room in the buffer); dropped by the backend: %" PRIu64
                ", by the uplink: %" PRIu64 " tx, %" PRIu64 " rx",
                statistics->not_recorded, statistics->dropped, statistics->tx_dropped,
                statistics->rx_dropped);
    end(block, block, 0);
}
