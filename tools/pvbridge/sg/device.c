#include "tools/pvbridge/sg/device.h"

#include <ctype.h>
#include <string.h>

#define LARGEST 0xffffu /* as a ring's slots have it */

bool pvsg_is_ours(const char *path)
{
    return path && strncmp(path, PVSG_PREFIX, strlen(PVSG_PREFIX)) == 0;
}

/* A decimal number of 1 to 5 digits, and the character behind it. */
static bool number(const char **text, char end, uint32_t *value)
{
    const char *at = *text;
    *value = 0;
    while (isdigit((unsigned char)*at) && at - *text < 5) {
        *value = *value * 10 + (uint32_t)(*at++ - '0');
    }
    if (at == *text || *at != end || *value > LARGEST) {
        return false;
    }
    *text = at + 1;
    return true;
}

bool pvsg_parse_path(const char *path, struct pvsg_device *device)
{
    if (!pvsg_is_ours(path)) {
        return false;
    }
    const char *name = path + strlen(PVSG_PREFIX);
    size_t length = strcspn(name, "/");
    if (length == 0 || length > PVSG_MACHINE_NAME || name[0] == '.' || !name[length]) {
        return false;
    }
    memcpy(device->machine, name, length);
    device->machine[length] = 0;
    const char *at = name + length + 1;
    return number(&at, ':', &device->host) && number(&at, ':', &device->channel) &&
           number(&at, ':', &device->target) && number(&at, 0, &device->lun);
}
