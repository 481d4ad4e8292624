/* What a fuzzer gives, taken piece by piece. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *data;
    size_t left;
};

/* Zeros behind the input's end. */
static inline void take(struct input *input, void *to, size_t size)
{
    size_t given = size < input->left ? size : input->left;
    memset(to, 0, size);
    memcpy(to, input->data, given);
    input->data += given;
    input->left -= given;
}

/* Of so many bytes, the highest first, or of as many as there are. */
static inline uint32_t take_number(struct input *input, size_t bytes)
{
    uint32_t value = 0;
    for (; bytes > 0 && input->left > 0; bytes--, input->left--)
        value = value << 8 | *input->data++;
    return value;
}

#endif
