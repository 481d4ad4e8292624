/*
 * Fields of headers as they lie in a packet: in network order and at any address. The numbers are
 * IANA's and the IEEE's.
 */
#ifndef PVDRIVERS_VNIF_WIRE_H
#define PVDRIVERS_VNIF_WIRE_H

#include "pvdrivers/types.h"

#include <endian.h>
#include <string.h>

#define ETHERNET_HEADER 14u
#define VLAN_TAG 4u

enum ethertype {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_VLAN = 0x8100, /* 802.1Q */
    ETHERTYPE_IPV6 = 0x86dd,
    ETHERTYPE_SERVICE_VLAN = 0x88a8, /* 802.1ad */
};

/* Offsets in headers. */
#define IPV4_HEADER 20u
#define IPV4_TOTAL_LENGTH 2u
#define IPV4_ID 4u
#define IPV4_FRAGMENT 6u
#define IPV4_PROTOCOL 9u
#define IPV4_CHECKSUM 10u
#define IPV4_ADDRESSES 12u
#define IPV4_ADDRESSES_BYTES 8u
#define IPV4_MORE_FRAGMENTS 0x2000u
#define IPV4_FRAGMENT_OFFSET 0x1fffu

#define IPV6_HEADER 40u
#define IPV6_PAYLOAD_LENGTH 4u
#define IPV6_NEXT_HEADER 6u
#define IPV6_ADDRESSES 8u
#define IPV6_ADDRESSES_BYTES 32u

#define TCP_HEADER 20u
#define TCP_SEQUENCE 4u
#define TCP_DATA_OFFSET 12u
#define TCP_FLAGS 13u
#define TCP_CHECKSUM 16u
#define TCP_FLAG_FIN 0x01u
#define TCP_FLAG_PSH 0x08u
#define TCP_FLAG_CWR 0x80u

#define UDP_HEADER 8u
#define UDP_LENGTH 4u
#define UDP_CHECKSUM 6u

static inline uint16_t load_be16(const uint8_t *field)
{
    uint16_t value;
    memcpy(&value, field, sizeof(value));
    return be16toh(value);
}

static inline uint32_t load_be32(const uint8_t *field)
{
    uint32_t value;
    memcpy(&value, field, sizeof(value));
    return be32toh(value);
}

static inline uint64_t load_be64(const uint8_t *field)
{
    uint64_t value;
    memcpy(&value, field, sizeof(value));
    return be64toh(value);
}

static inline void store_be16(uint8_t *field, uint16_t value)
{
    value = htobe16(value);
    memcpy(field, &value, sizeof(value));
}

static inline void store_be32(uint8_t *field, uint32_t value)
{
    value = htobe32(value);
    memcpy(field, &value, sizeof(value));
}

#endif
