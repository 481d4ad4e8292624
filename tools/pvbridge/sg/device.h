/* Which logical unit a path names. */
#ifndef PVSG_DEVICE_H
#define PVSG_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#define PVSG_PREFIX "/dev/pvsg/"
#define PVSG_MACHINE_NAME 64 /* characters of a machine's name at most */

struct pvsg_device {
    char machine[PVSG_MACHINE_NAME + 1];
    uint32_t host, channel, target, lun;
};

/* Whether a path is below /dev/pvsg/, so that it is ours and not the system's. */
bool pvsg_is_ours(const char *path);

/* Of /dev/pvsg/MACHINE/H:C:T:L. False: it is none. */
bool pvsg_parse_path(const char *path, struct pvsg_device *device);

#endif
