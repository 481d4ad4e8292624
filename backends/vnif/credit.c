/* The limit of what a queue transmits, as Linux's netback has it: so many bytes are added in each
 * window, and what is left over is kept up to one window's, or a large packet's. */
#include "backends/vnif/netback_private.h"

#define MIN_BURST 131072u /* bytes: less would stop a guest that sends large packets for good */

static void add(struct netback_credit *credit)
{
    uint64_t most = credit->bytes > MIN_BURST ? credit->bytes : MIN_BURST;
    uint64_t left = credit->left + credit->bytes;
    credit->left = left < credit->left || left > most ? most : left;
}

void netback_credit_set(struct netback_credit *credit, uint64_t bytes, uint64_t usec, uint64_t now)
{
    if (credit->bytes == 0)
        credit->window = now;
    if (credit->bytes == 0 || credit->left > bytes)
        credit->left = bytes;
    credit->bytes = usec ? bytes : 0;
    credit->usec = usec;
    credit->deadline = UINT64_MAX; /* who waits asks again */
}

bool netback_credit_take(struct netback_credit *credit, uint32_t size, uint64_t now)
{
    if (credit->bytes == 0)
        return true;
    if (size > credit->left) {
        uint64_t next = credit->window + credit->usec * 1000;
        if (now >= next) {
            credit->window = now;
            add(credit);
        }
        if (size > credit->left) {
            credit->deadline = credit->window + credit->usec * 1000;
            return false;
        }
    }
    credit->deadline = UINT64_MAX;
    credit->left -= size;
    return true;
}
