/*
 * A switch between two TAPs, in one thread. Each packet is copied twice on its way, as on a PV
 * device's: into a page of the guest's, and out of it or the other way round.
 */
#include "tools/pvbench/compare/competitors/bare.h"

#include <errno.h>
#include <poll.h>

#define LONGEST (64u + 65536u) /* with the virtio-net header */
#define BATCH 64

static uint8_t buffers[3][LONGEST];

static int pass(int from, int to)
{
    int count = 0;
    for (; count < BATCH; count++) {
        ssize_t length = read(from, buffers[0], LONGEST);
        if (length <= 0)
            break;
        memcpy(buffers[1], buffers[0], (size_t)length);
        use(buffers[1]);
        memcpy(buffers[2], buffers[1], (size_t)length);
        use(buffers[2]);
        if (write(to, buffers[2], (size_t)length) < 0 && errno != EAGAIN && errno != EIO)
            err(1, "write");
    }
    return count;
}

void bare_taps(int one, int other)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        struct pollfd taps[] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};
        if (pass(one, other) + pass(other, one) == 0)
            poll(taps, 2, -1);
    }
}
