/* What a program with the preload library finds at an open file: SG_IO and the other ioctls. */
#include "tests/tools/pvbridge/sg/c/file_test.h"

#include <linux/bsg.h>
#include <sys/mman.h>

static void test_paths(void)
{
    struct pvsg_device device;
    assert(pvsg_parse_path("/dev/pvsg/a-b.c/1:2:3:65535", &device));
    assert(!strcmp(device.machine, "a-b.c") && device.host == 1 && device.channel == 2);
    assert(device.target == 3 && device.lun == 65535);
    static const char *const none[] = {
        "/dev/sg0",
        "/dev/pvsg/",
        "/dev/pvsg/a",
        "/dev/pvsg/a/",
        "/dev/pvsg/a/0:0:0",
        "/dev/pvsg/a/0:0:0:",
        "/dev/pvsg/a/0:0::0",
        "/dev/pvsg/a/0:0:0:65536",
        "/dev/pvsg//0:0:0:0",
        "/dev/pvsg/a/0:0:0:0/",
        "/dev/pvsg/../0:0:0:0",
        "/dev/pvsg/a/0:0:0:-1",
        "/dev/pvsg/a/0:0:0:000001",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert(!pvsg_parse_path(none[i], &device));
    }
    char longest[128] = PVSG_PREFIX;
    memset(longest + strlen(PVSG_PREFIX), 'x', PVSG_MACHINE_NAME + 1);
    strcpy(longest + strlen(PVSG_PREFIX) + PVSG_MACHINE_NAME, "/0:0:0:0");
    assert(pvsg_parse_path(longest, &device) && strlen(device.machine) == PVSG_MACHINE_NAME);
    strcpy(longest + strlen(PVSG_PREFIX) + PVSG_MACHINE_NAME, "x/0:0:0:0");
    assert(!pvsg_parse_path(longest, &device));
}

static void test_open(void)
{
    assert(pvsg_file_open("/dev/pvsg/machine/0:0:0:4", O_RDWR) == -ENOENT);
    assert(pvsg_file_open("/dev/pvsg/nobody/0:0:0:3", O_RDWR) == -ENOENT);
    assert(pvsg_file_open("/dev/pvsg/machine", O_RDWR) == -ENOENT);
    assert(pvsg_file_open(PATH, O_RDONLY | O_EXCL) == -EPERM);
    struct pvsg_file *file = open_file(O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert(fcntl(file->fd, F_GETFL) & O_NONBLOCK && fcntl(file->fd, F_GETFD) == FD_CLOEXEC);
    assert(!pvsg_file_get(-1) && !pvsg_file_get(INT_MAX));
    close_file(file);
}

static void test_good(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[100];
    memset(data, 0xdd, sizeof data);
    struct sg_io_hdr header = command((uint8_t[6]){SHORT, 7}, SG_DXFER_FROM_DEV, data, 100);
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(!header.status && !header.host_status && !header.driver_status && !header.info);
    assert(header.resid == 64 && header.sb_len_wr == 0 && sense[0] == 0xee);
    assert(data[0] == 7 && data[35] == 42 && data[36] == 0xdd);
    assert(machine.timeout == 5000);
    close_file(file);
}

static void test_data_out_in_pieces(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    sg_iovec_t pieces[4] = {{"ab", 2}, {NULL, 0}, {"cde", 3}, {"fgh", 3}};
    struct sg_io_hdr header = command((uint8_t[6]){WRITE}, SG_DXFER_TO_DEV, pieces, 7);
    header.iovec_count = 4;
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(!memcmp(machine.written, "abcdefg\0", 8)); /* as long as dxfer_len says */

    uint8_t first[3], second[9];
    memset(second, 0xdd, sizeof second);
    sg_iovec_t room[2] = {{first, 3}, {second, 5}};
    header = command((uint8_t[6]){READ, 1}, SG_DXFER_FROM_DEV, room, 100);
    header.iovec_count = 2;
    assert(!pvsg_ioctl(file, SG_IO, &header) && header.resid == 0); /* or as the pieces are */
    assert(!memcmp(first, "\1\2\3", 3) && !memcmp(second, "\4\5\6\7\x08\xdd", 6));
    close_file(file);
}

static void test_what_is_wrong(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[8], cdb[260] = {READY};
    struct sg_io_hdr header = command(cdb, SG_DXFER_FROM_DEV, data, 8);
    struct {
        int expected;
        struct sg_io_hdr header;
    } wrong[] = {
        {-ENOSYS, header}, {-EMSGSIZE, header}, {-EMSGSIZE, header}, {-EMSGSIZE, header},
        {-EINVAL, header}, {-EINVAL, header},   {-EINVAL, header},   {-ENOMEM, header},
    };
    wrong[0].header.interface_id = 0;
    wrong[1].header.cmd_len = 5;
    wrong[2].header.cmd_len = 253;
    wrong[3].header.cmdp = NULL;
    wrong[4].header.cmd_len = 33;
    wrong[5].header.dxfer_len = MAX_TRANSFER + 1;
    wrong[6].header.iovec_count = IOV_MAX + 1;
    wrong[7].header.flags = PVSG_MMAP_IO;
    wrong[7].header.dxfer_len = file->reserve.size + 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert(pvsg_ioctl(file, SG_IO, &wrong[i].header) == wrong[i].expected);
        assert(pvsg_write(file, &wrong[i].header, sizeof header) == wrong[i].expected);
    }
    assert(file->under_way == 0);
    assert(pvsg_write(file, &header, sizeof header - 1) == -EINVAL);
    assert(pvsg_read(file, &header, sizeof header - 1) == -EINVAL);
    assert(pvsg_ioctl(file, 0x1234, &header) == -ENOTTY);
    close_file(file);
    file = open_file(O_RDONLY);
    assert(pvsg_write(file, &header, sizeof header) == -EBADF);
    close_file(file);
    file = open_file(O_WRONLY);
    assert(pvsg_read(file, &header, sizeof header) == -EBADF);
    close_file(file);
}

static void test_sense(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    struct sg_io_hdr header = command((uint8_t[6]){SENSE}, SG_DXFER_NONE, NULL, 0);
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(header.status == 2 && header.masked_status == 1 && header.driver_status == 8);
    assert(header.info == SG_INFO_CHECK && header.sb_len_wr == 18 && sense[12] == 0x24);
    assert(sense[18] == 0xee);
    header = command((uint8_t[6]){SENSE}, SG_DXFER_NONE, NULL, 0);
    header.mx_sb_len = 4;
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(header.sb_len_wr == 4 && sense[2] == 5 && sense[4] == 0xee);
    header = command((uint8_t[6]){SENSE}, SG_DXFER_NONE, NULL, 0);
    header.sbp = NULL;
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(header.status == 2 && header.sb_len_wr == 0 && header.info == SG_INFO_CHECK);
    close_file(file);
}

static void test_timeouts(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[512];
    struct sg_io_hdr header = command((uint8_t[6]){TIMED_OUT}, SG_DXFER_FROM_DEV, data, 512);
    header.timeout = UINT_MAX;
    assert(!pvsg_ioctl(file, SG_IO, &header) && machine.timeout == PVSG_NO_TIMEOUT);
    assert(header.host_status == 3 && header.status == 0 && header.resid == 512);
    assert(header.info == SG_INFO_CHECK);
    header.timeout = 0;
    assert(!pvsg_ioctl(file, SG_IO, &header) && machine.timeout == 60000);
    close_file(file);
}

static void test_version_4(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[64], cdb[16] = {SHORT, 9};
    struct sg_io_v4 header = {
        .guard = 'Q',
        .request_len = 16,
        .request = (uintptr_t)cdb,
        .din_xfer_len = sizeof data,
        .din_xferp = (uintptr_t)data,
        .max_response_len = sizeof sense,
        .response = (uintptr_t)sense,
        .timeout = 1234,
    };
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(header.din_resid == 28 && !header.device_status && !header.info && data[0] == 9);
    assert(machine.timeout == 1234 && header.response_len == 0);
    cdb[0] = SENSE;
    assert(!pvsg_ioctl(file, SG_IO, &header));
    assert(header.device_status == 2 && header.driver_status == 8 && header.response_len == 18);
    assert(header.info == SG_INFO_CHECK && sense[2] == 5);
    header.dout_xfer_len = 1;
    assert(pvsg_ioctl(file, SG_IO, &header) == -EOPNOTSUPP);
    header.din_xfer_len = 0;
    header.dout_xferp = (uintptr_t) "!";
    cdb[0] = WRITE;
    assert(!pvsg_ioctl(file, SG_IO, &header) && machine.written[0] == '!');
    header.subprotocol = 1;
    assert(pvsg_ioctl(file, SG_IO, &header) == -EINVAL);
    close_file(file);
}

/* ---- the reserved buffer ------------------------------------------------------------------- */

static void test_reserved_buffer(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    int size = 8192, big = 1 << 30, odd = 40000;
    assert(pvsg_reserve_map(file, 1 << 16, 0) == -ENOMEM);
    assert(pvsg_reserve_map(file, 4096, 4096) == -EINVAL);
    assert(!pvsg_ioctl(file, SG_SET_RESERVED_SIZE, &big));
    assert(!pvsg_ioctl(file, SG_GET_RESERVED_SIZE, &big) && big == MAX_TRANSFER);
    assert(!pvsg_ioctl(file, SG_SET_RESERVED_SIZE, &size));
    int fd = pvsg_reserve_map(file, 8192, 0);
    assert(fd >= 0 && pvsg_ioctl(file, SG_SET_RESERVED_SIZE, &odd) == -EBUSY);
    uint8_t *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert(memory != MAP_FAILED);
    struct sg_io_hdr header = command((uint8_t[6]){READ, 3}, SG_DXFER_FROM_DEV, NULL, 8192);
    header.flags = PVSG_MMAP_IO;
    assert(!pvsg_ioctl(file, SG_IO, &header) && memory[0] == 3 && memory[8191] == 2);
    memory[0] = 99;
    header = command((uint8_t[6]){WRITE}, SG_DXFER_TO_DEV, NULL, 4096);
    header.flags = PVSG_MMAP_IO;
    assert(!pvsg_ioctl(file, SG_IO, &header) && machine.written[0] == 99);

    /* One command at a time. */
    struct sg_io_hdr held = command((uint8_t[6]){HELD}, SG_DXFER_FROM_DEV, NULL, 8192);
    held.flags = PVSG_MMAP_IO;
    assert(pvsg_write(file, &held, sizeof held) == sizeof held);
    assert(pvsg_ioctl(file, SG_IO, &header) == -EBUSY);
    sem_post(&machine.go);
    assert(pvsg_read(file, &held, sizeof held) == sizeof held);
    assert(!pvsg_ioctl(file, SG_IO, &header));
    close_file(file);
    assert(memory[1] == 1); /* a mapping stays */
    munmap(memory, 8192);
}

static void test_no_data_transfer(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[4] = "abc";
    struct sg_io_hdr header = command((uint8_t[6]){READ, 3}, SG_DXFER_FROM_DEV, data, 4);
    header.flags = 0x10000;
    assert(!pvsg_ioctl(file, SG_IO, &header) && header.resid == 0 && !memcmp(data, "abc", 4));
    close_file(file);
}

/* ---- other ioctls -------------------------------------------------------------------------- */

static void test_ioctls(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    int value;
    assert(!pvsg_ioctl(file, SG_GET_VERSION_NUM, &value) && value == 30536);
    struct sg_scsi_id id;
    assert(!pvsg_ioctl(file, SG_GET_SCSI_ID, &id));
    assert(id.host_no == 0 && id.scsi_id == 0 && id.lun == 3 && id.scsi_type == 5);
    uint32_t idlun[2];
    assert(!pvsg_ioctl(file, 0x5382, idlun) && idlun[0] == 3 << 8 && idlun[1] == 0);
    assert(!pvsg_ioctl(file, 0x5386, &value) && value == 0);
    assert(pvsg_ioctl(file, SG_GET_TIMEOUT, NULL) == 6000);
    value = 100;
    assert(!pvsg_ioctl(file, SG_SET_TIMEOUT, &value));
    assert(pvsg_ioctl(file, SG_GET_TIMEOUT, NULL) == 100);
    for (value = 0; value <= 4; value++) { /* nothing, device, bus, host, target */
        assert(pvsg_ioctl(file, SG_SCSI_RESET, &value) == (value > 1 ? -EIO : 0));
    }
    assert(machine.resets == 1);
    close_file(file);
}

int main(void)
{
    start_machine();
    test_paths();
    test_open();
    test_good();
    test_data_out_in_pieces();
    test_what_is_wrong();
    test_sense();
    test_timeouts();
    test_version_4();
    test_reserved_buffer();
    test_no_data_transfer();
    test_ioctls();
    stop_machine();
    return 0;
}
