/* The ring: printing and reading. */
#include "pvdrivers/sim/console.h"
#include "pvdrivers/sim/console/console.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "(XEN) "
#define MAX_LINE 240

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void append(struct console_ring *ring, const char *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ring->bytes[(ring->producer + i) % CONSOLE_RING_SIZE] = bytes[i];
    ring->producer += count;
    if (ring->producer - ring->consumer > CONSOLE_RING_SIZE)
        ring->consumer = ring->producer - CONSOLE_RING_SIZE;
}

void console_print(struct machine *shared, const char *format, ...)
{
    char line[sizeof PREFIX + MAX_LINE + 1] = PREFIX;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + strlen(PREFIX), MAX_LINE + 1, format, arguments);
    va_end(arguments);
    strcat(line, "\n");
    sim_lock(&shared->console.lock);
    append(&shared->console, line, (uint32_t)strlen(line));
    sim_unlock(&shared->console.lock);
    defer_virq(shared, VIRQ_CON_RING);
}

void pv_console_read(struct pv_machine *machine, struct pv_console_read *read, char *buffer)
{
    struct console_ring *ring = &machine->shared->console;
    sim_lock(&ring->lock);
    uint32_t left = ring->producer - ring->consumer, at = ring->consumer;
    if (read->incremental && read->index - at <= left)
        at = read->index;
    read->count = smaller(read->count, ring->producer - at);
    for (uint32_t i = 0; i < read->count; i++)
        buffer[i] = ring->bytes[(at + i) % CONSOLE_RING_SIZE];
    read->index = at + read->count;
    if (read->clear)
        ring->consumer = read->index;
    sim_unlock(&ring->lock);
}
