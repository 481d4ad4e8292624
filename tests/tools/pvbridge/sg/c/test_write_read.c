/* Commands by write() and read(), several at a time and from threads; machines that do not behave.
 */
#include "tests/tools/pvbridge/sg/c/file_test.h"

#include <poll.h>

#define THREADS 8
#define ROUNDS 200

static void write_held(struct pvsg_file *file, int pack_id, uint8_t *data)
{
    struct sg_io_hdr header = command((uint8_t[6]){HELD, 1}, SG_DXFER_FROM_DEV, data, 4);
    header.pack_id = pack_id;
    header.usr_ptr = data;
    assert(pvsg_write(file, &header, sizeof header) == sizeof header);
}

static bool readable(struct pvsg_file *file, int timeout)
{
    struct pollfd look = {.fd = file->fd, .events = POLLIN};
    return poll(&look, 1, timeout) == 1 && look.revents == POLLIN;
}

static void test_write_and_read(void)
{
    struct pvsg_file *file = open_file(O_RDWR | O_NONBLOCK);
    struct sg_io_hdr header;
    uint8_t data[2][4] = {0};
    int number;
    write_held(file, 11, data[0]);
    assert(!readable(file, 0) && pvsg_read(file, &header, sizeof header) == -EAGAIN);
    assert(!pvsg_ioctl(file, SG_GET_NUM_WAITING, &number) && number == 0);
    assert(!pvsg_ioctl(file, SG_GET_PACK_ID, &number) && number == -1);
    sem_post(&machine.go);
    assert(readable(file, -1));
    assert(!pvsg_ioctl(file, SG_GET_NUM_WAITING, &number) && number == 1);
    assert(!pvsg_ioctl(file, SG_GET_PACK_ID, &number) && number == 11);
    assert(data[0][0] == 0); /* nothing comes before it is read */
    assert(pvsg_read(file, &header, sizeof header) == sizeof header);
    assert(header.pack_id == 11 && header.usr_ptr == data[0] && header.status == 0);
    assert(!memcmp(data[0], "\1\2\3\4", 4) && !readable(file, 0));

    /* Another command is no hindrance, and the file can be closed while both are under way. */
    write_held(file, 12, data[0]);
    header = command((uint8_t[6]){READ, 5}, SG_DXFER_FROM_DEV, data[1], 4);
    header.pack_id = 13;
    assert(pvsg_write(file, &header, sizeof header) == sizeof header);
    assert(readable(file, -1));
    assert(pvsg_read(file, &header, sizeof header) == sizeof header && header.pack_id == 13);
    header = command((uint8_t[6]){READ, 6}, SG_DXFER_FROM_DEV, data[1], 4);
    assert(pvsg_write(file, &header, sizeof header) == sizeof header);
    close_file(file);
    sem_post(&machine.go);
}

static void test_pack_ids(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    struct sg_io_hdr header = {.pack_id = 22};
    uint8_t data[3][4];
    int on = 1;
    assert(!pvsg_ioctl(file, SG_SET_FORCE_PACK_ID, &on));
    assert(pvsg_read(file, &header, sizeof header) == -EAGAIN); /* nobody has written it */
    for (int i = 0; i < 3; i++) {
        struct sg_io_hdr next =
            command((uint8_t[6]){READ, (uint8_t)i}, SG_DXFER_FROM_DEV, data[i], 4);
        next.pack_id = 21 + i;
        assert(pvsg_write(file, &next, sizeof next) == sizeof next);
    }
    for (int i = 0; i < 3; i++) {
        int pack_id = (int[]){22, 23, -1}[i];
        header.pack_id = pack_id;
        assert(pvsg_read(file, &header, sizeof header) == sizeof header);
        assert(header.pack_id == (pack_id < 0 ? 21 : pack_id));
        assert(data[header.pack_id - 21][0] == header.pack_id - 21);
    }
    close_file(file);
}

static void test_a_full_queue(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    uint8_t data[4];
    for (int i = 0; i < PVSG_QUEUE; i++) {
        assert(pvsg_writable(file));
        write_held(file, i, data);
    }
    assert(!pvsg_writable(file));
    struct sg_io_hdr header = command((uint8_t[6]){READY}, SG_DXFER_NONE, NULL, 0);
    assert(pvsg_write(file, &header, sizeof header) == -EDOM);
    assert(pvsg_ioctl(file, SG_IO, &header) == -EDOM);
    for (int i = 0; i < PVSG_QUEUE; i++) {
        sem_post(&machine.go);
    }
    for (int i = 0; i < PVSG_QUEUE; i++) {
        assert(pvsg_read(file, &header, sizeof header) == sizeof header);
    }
    assert(pvsg_writable(file) && file->idle_count == PVSG_QUEUE);
    close_file(file);
}

/* ---- a machine that is gone, or does not behave -------------------------------------------- */

static void test_bad_answers(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    for (int opcode = TOO_MUCH; opcode <= GONE; opcode++) {
        uint8_t data[8];
        struct sg_io_hdr header =
            command((uint8_t[6]){(uint8_t)opcode}, SG_DXFER_FROM_DEV, data, 8);
        assert(pvsg_ioctl(file, SG_IO, &header) == -ENODEV);
        assert(pvsg_write(file, &header, sizeof header) == sizeof header);
        assert(pvsg_read(file, &header, sizeof header) == -ENODEV);
        header = command((uint8_t[6]){READY}, SG_DXFER_NONE, NULL, 0);
        assert(!pvsg_ioctl(file, SG_IO, &header)); /* by another connection */
    }
    assert(file->under_way == 0);
    close_file(file);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *many(void *argument)
{
    struct pvsg_file *file = argument;
    static int next;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t data[16], cdb[6] = {READ, (uint8_t)i};
        struct sg_io_hdr header = {.interface_id = 'S',
                                   .cmd_len = 6,
                                   .cmdp = cdb,
                                   .dxfer_direction = SG_DXFER_FROM_DEV,
                                   .dxferp = data,
                                   .dxfer_len = sizeof data};
        if (i % 2) {
            assert(!pvsg_ioctl(file, SG_IO, &header));
        } else {
            int pack_id = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
            header.pack_id = pack_id;
            assert(pvsg_write(file, &header, sizeof header) == sizeof header);
            assert(pvsg_read(file, &header, sizeof header) == sizeof header);
            assert(header.pack_id == pack_id);
        }
        assert(data[0] == (uint8_t)i && data[15] == (uint8_t)(i + 15));
    }
    return NULL;
}

static void test_threads(void)
{
    struct pvsg_file *file = open_file(O_RDWR);
    int on = 1;
    assert(!pvsg_ioctl(file, SG_SET_FORCE_PACK_ID, &on));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert(!pthread_create(&threads[i], NULL, many, file));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert(file->under_way == 0 && !file->written);
    close_file(file);
}

int main(void)
{
    start_machine();
    test_write_and_read();
    test_pack_ids();
    test_a_full_queue();
    test_bad_answers();
    test_threads();
    stop_machine();
    return 0;
}
