/* An open file on the unit of a fake machine. */
#ifndef FILE_TEST_H
#define FILE_TEST_H

#include "tests/tools/pvbridge/sg/c/fake_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <scsi/sg.h>

#include "tools/pvbridge/sg/command.h"
#include "tools/pvbridge/sg/io.h"
#include "tools/pvbridge/sg/reserve.h"

static struct pvsg_file *open_file(int flags)
{
    int fd = pvsg_file_open(PATH, flags);
    assert(fd >= 0);
    struct pvsg_file *file = pvsg_file_get(fd);
    assert(file && file->fd == fd);
    return file;
}

static void close_file(struct pvsg_file *file)
{
    int fd = file->fd;
    pvsg_file_put(file);
    pvsg_file_forget(fd);
    assert(!pvsg_file_get(fd));
    close(fd);
}

/* A command with a 6-byte CDB; sense goes to `sense`. */
static uint8_t sense[252];

static struct sg_io_hdr command(uint8_t *cdb, int direction, void *data, unsigned length)
{
    memset(sense, 0xee, sizeof sense);
    return (struct sg_io_hdr){
        .interface_id = 'S',
        .cmd_len = 6,
        .cmdp = cdb,
        .dxfer_direction = direction,
        .dxferp = data,
        .dxfer_len = length,
        .mx_sb_len = sizeof sense,
        .sbp = sense,
        .timeout = 5000,
        .status = 0xff,
        .host_status = 0xff,
        .driver_status = 0xff,
        .info = 0xff,
    };
}

#endif
