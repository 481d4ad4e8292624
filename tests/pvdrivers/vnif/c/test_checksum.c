/* The fast sum is the sum of 16-bit words that RFC 1071 defines, of any bytes at any address. */
#include "pvdrivers/vnif/checksum.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint16_t slow_sum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? data[i] : data[i] << 8u;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void check(const uint8_t *data, size_t length)
{
    assert(ntohs(checksum_sum(data, length)) == slow_sum(data, length));
}

static void test_every_length_and_offset(uint8_t (*byte)(size_t))
{
    for (size_t length = 0; length <= 200; length++) {
        uint8_t *data = malloc(length + 1); /* ASan sees a look behind it */
        for (size_t i = 0; i < length; i++)
            data[i] = byte(i);
        for (size_t offset = 0; offset <= length && offset <= 9; offset++)
            check(data + offset, length - offset);
        free(data);
    }
}

static uint8_t any(size_t i)
{
    return (uint8_t)(i * 167 + 13);
}

static uint8_t ones(size_t i)
{
    (void)i;
    return 0xff;
}

static uint8_t zeros(size_t i)
{
    (void)i;
    return 0;
}

/* The example of RFC 1071, section 3. */
static void test_the_rfcs_example(void)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert(ntohs(checksum_sum(bytes, sizeof(bytes))) == 0xddf2);
}

static void test_the_longest_packet(void)
{
    static uint8_t bytes[65535];
    memset(bytes, 0xff, sizeof(bytes));
    check(bytes, sizeof(bytes));
}

int main(void)
{
    test_every_length_and_offset(any);
    test_every_length_and_offset(ones);
    test_every_length_and_offset(zeros);
    test_the_rfcs_example();
    test_the_longest_packet();
    return 0;
}
