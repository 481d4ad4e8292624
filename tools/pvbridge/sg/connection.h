/* A connection to `pvbridge sg`: one logical unit's, with one request at a time.
 *
 * Functions return 0, or a negative errno. After -ENODEV or -EFAULT the connection is of no use:
 * the machine is gone, or its answer or the program's memory is not as it has to be. */
#ifndef PVSG_CONNECTION_H
#define PVSG_CONNECTION_H

#include <sys/uio.h>

#include "tools/pvbridge/sg/device.h"
#include "tools/pvbridge/sg/protocol.h"

/* Where a command's data are: `length` bytes from the beginning of `vectors`. */
struct pvsg_data {
    const struct iovec *vectors;
    int count;
    uint32_t length;
};

/* The new socket, or a negative errno: -ENOENT, there is no such machine or unit. */
int pvsg_connect(const struct pvsg_device *device, struct pvsg_welcome *welcome);

int pvsg_send(int socket, const struct pvsg_request *request, struct pvsg_data data);

/* Waits for the answer; what came from the unit is in `data`. */
int pvsg_receive(int socket, const struct pvsg_request *request, struct pvsg_answer *answer,
                 struct pvsg_data data);

#endif
