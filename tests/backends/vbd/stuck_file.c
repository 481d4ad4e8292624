/*
 * A file whose reads and writes are never answered, by FUSE: "disk" in the folder that is mounted,
 * of SIZE bytes. All else about it works, and what begins at its start can be read, which opening a
 * store tries. What waits ends with an error when this process ends.
 *
 *     stuck_file FOLDER    says "mounted" on stdout
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SIZE (64 << 20)
#define DISK 2 /* inode */
#define FOREVER 1e9

static void describe(fuse_ino_t inode, struct stat *status)
{
    *status = (struct stat){.st_ino = inode,
                            .st_mode = inode == DISK ? S_IFREG | 0600 : S_IFDIR | 0700,
                            .st_nlink = 1,
                            .st_size = inode == DISK ? SIZE : 0,
                            .st_blksize = 4096};
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    (void)parent;
    struct fuse_entry_param entry = {
        .ino = DISK, .attr_timeout = FOREVER, .entry_timeout = FOREVER};
    describe(DISK, &entry.attr);
    if (strcmp(name, "disk") == 0)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, ENOENT);
}

static void getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)info;
    struct stat status;
    describe(inode, &status);
    fuse_reply_attr(request, &status, FOREVER);
}

static void opened(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    fuse_reply_open(request, info);
}

static void stuck_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                       struct fuse_file_info *info)
{
    static const char zeros[128 << 10];
    (void)inode, (void)info;
    if (offset == 0 && size <= sizeof zeros)
        fuse_reply_buf(request, zeros, size);
}

static void stuck_write(fuse_req_t request, fuse_ino_t inode, const char *data, size_t size,
                        off_t offset, struct fuse_file_info *info)
{
    (void)request, (void)inode, (void)data, (void)size, (void)offset, (void)info;
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = lookup, .getattr = getattr, .open = opened, .read = stuck_read, .write = stuck_write};

int main(int argc, char **argv)
{
    char *words[] = {argv[0], "-ofsname=stuck"};
    struct fuse_args arguments = FUSE_ARGS_INIT(2, words);
    struct fuse_session *session =
        fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    if (argc != 2 || !session || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    puts("mounted");
    fflush(stdout);
    return fuse_session_loop(session);
}
