/* The C library's functions as a program calls them: those of /dev/pvsg are ours, all others are
 * what they were. hooks.c is linked into this program, so its functions come first here too. */
#include "tests/tools/pvbridge/sg/c/fake_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

#define OWN "/proc/self/exe"

/* A file of ours and one of the system's, opened in each way. */
static void test_open(void)
{
    int ours[] = {
        open(PATH, O_RDWR),
        open64(PATH, O_RDWR),
        openat(AT_FDCWD, PATH, O_RDWR),
        openat64(-1, PATH, O_RDWR | O_CREAT, 0600),
        __open_2(PATH, O_RDWR),
        __open64_2(PATH, O_RDWR),
    };
    int others[] = {
        open(OWN, O_RDONLY),
        open64(OWN, O_RDONLY),
        openat(AT_FDCWD, OWN, O_RDONLY),
        openat64(AT_FDCWD, OWN, O_RDONLY),
        __open_2(OWN, O_RDONLY),
        __open64_2(OWN, O_RDONLY),
    };
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        int version;
        char magic[4];
        assert(ours[i] >= 0 && !ioctl(ours[i], SG_GET_VERSION_NUM, &version));
        assert(others[i] >= 0 && ioctl(others[i], SG_GET_VERSION_NUM, &version) == -1);
        assert(read(others[i], magic, 4) == 4 && !memcmp(magic, "\177ELF", 4));
        assert(!close(ours[i]) && !close(others[i]));
        assert(ioctl(ours[i], SG_GET_VERSION_NUM, &version) == -1 && errno == EBADF);
    }
    assert(open("/dev/pvsg/nobody/0:0:0:0", O_RDWR) == -1 && errno == ENOENT);
    assert(close(-1) == -1 && errno == EBADF);
}

/* What takes the place of a file of ours is the system's. */
static void test_dup(void)
{
    char magic[4];
    int fds[] = {open(PATH, O_RDWR), open(PATH, O_RDWR), open(OWN, O_RDONLY)};
    assert(dup2(fds[0], fds[0]) == fds[0] && dup2(fds[2], fds[0]) == fds[0]);
    assert(dup3(fds[2], fds[1], O_CLOEXEC) == fds[1]);
    for (int i = 0; i < 3; i++) {
        assert(lseek(fds[i], 0, SEEK_SET) == 0 && read(fds[i], magic, 4) == 4);
        assert(!memcmp(magic, "\177ELF", 4) && !close(fds[i]));
    }
}

/* A file that is made has the mode that was asked for. */
static void test_mode(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/made", getenv("PVSG_DIRECTORY"));
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
    struct stat status;
    assert(fd >= 0 && !fstat(fd, &status) && (status.st_mode & 07777) == 0640);
    assert(write(fd, "ab", 2) == 2 && !close(fd) && !unlink(path));
}

static void check(mode_t mode, dev_t device)
{
    assert(S_ISCHR(mode) && major(device) == 21 && minor(device) == 3);
}

static void test_stat(void)
{
    struct stat status;
    struct stat64 status64;
    int fd = open(PATH, O_RDWR);
    assert(!stat(PATH, &status));
    check(status.st_mode, status.st_rdev);
    assert(!lstat(PATH, &status));
    check(status.st_mode, status.st_rdev);
    assert(!fstat(fd, &status));
    check(status.st_mode, status.st_rdev);
    assert(!stat64(PATH, &status64));
    check(status64.st_mode, status64.st_rdev);
    assert(!lstat64(PATH, &status64));
    check(status64.st_mode, status64.st_rdev);
    assert(!fstat64(fd, &status64));
    check(status64.st_mode, status64.st_rdev);
    assert(!access(PATH, R_OK | W_OK) && !close(fd));
    assert(stat("/dev/pvsg/machine/0:0:0:4", &status) == -1 && errno == ENOENT);
    assert(access("/dev/pvsg/machine/0:0:0:4", F_OK) == -1 && errno == ENOENT);
    assert(!stat(OWN, &status) && S_ISREG(status.st_mode));
    assert(!lstat(OWN, &status) && S_ISLNK(status.st_mode) && !access(OWN, F_OK));
}

static struct sg_io_hdr command(uint8_t *cdb, void *data, unsigned length)
{
    return (struct sg_io_hdr){.interface_id = 'S',
                              .cmd_len = 6,
                              .cmdp = cdb,
                              .dxfer_direction = SG_DXFER_FROM_DEV,
                              .dxferp = data,
                              .dxfer_len = length};
}

static void test_commands(void)
{
    uint8_t data[16];
    int fd = open(PATH, O_RDWR);
    struct sg_io_hdr header = command((uint8_t[6]){READ, 1}, data, sizeof data);
    assert(!ioctl(fd, SG_IO, &header) && data[15] == 16);
    header.interface_id = 'T';
    assert(ioctl(fd, SG_IO, &header) == -1 && errno == ENOSYS);

    int other[2];
    assert(!pipe(other));
    struct pollfd look[] = {
        {.fd = fd, .events = POLLIN | POLLOUT},
        {.fd = other[0], .events = POLLIN},
        {.fd = -1, .events = POLLOUT},
    };
    assert(poll(look, 3, -1) == 1 && look[0].revents == POLLOUT && !look[1].revents);
    header = command((uint8_t[6]){READ, 2}, data, sizeof data);
    assert(write(fd, &header, sizeof header) == sizeof header);
    look[0].events = POLLIN;
    assert(poll(look, 2, -1) == 1 && look[0].revents == POLLIN);
    look[0].events = POLLIN | POLLOUT; /* one fd is counted once */
    assert(write(other[1], "x", 1) == 1);
    assert(poll(look, 2, 0) == 2 && look[0].revents == (POLLIN | POLLOUT));
    assert(read(fd, &header, sizeof header) == sizeof header && data[0] == 2);
    look[0].events = POLLIN;
    assert(poll(look, 1, 0) == 0);
    close(other[0]);
    close(other[1]);
    close(fd);
}

static void test_mmap(void)
{
    int fd = open(PATH, O_RDWR);
    int protection = PROT_READ | PROT_WRITE, size = 8192;
    assert(!ioctl(fd, SG_SET_RESERVED_SIZE, &size));
    uint8_t *memory = mmap(NULL, 8192, protection, MAP_SHARED, fd, 0);
    uint8_t *again = mmap64(NULL, 8192, protection, MAP_SHARED, fd, 0);
    assert(memory != MAP_FAILED && again != MAP_FAILED && memory != again);
    struct sg_io_hdr header = command((uint8_t[6]){READ, 3}, NULL, 8192);
    header.flags = 4;
    assert(!ioctl(fd, SG_IO, &header) && memory[0] == 3 && again[1] == 4);
    assert(mmap(NULL, 8193, protection, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENOMEM);
    assert(mmap(NULL, 4096, protection, MAP_SHARED, fd, 4096) == MAP_FAILED && errno == EINVAL);
    void *none = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(none != MAP_FAILED && !munmap(none, 4096));
    munmap(memory, 8192);
    munmap(again, 8192);
    close(fd);
}

int main(void)
{
    start_machine();
    test_open();
    test_dup();
    test_mode();
    test_stat();
    test_commands();
    test_mmap();
    stop_machine();
    return 0;
}
