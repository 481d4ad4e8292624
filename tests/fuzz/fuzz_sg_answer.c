/* Any bytes as a machine's answer to a command of a program with the preload library. Input: a
 * command's room (2 bytes), in how many pieces it is, how much room there is for sense, the bytes
 * that come from the socket, which ends behind them. */
#include "tools/pvbridge/sg/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 4
#define PIECES 40
#define MAX_SIZE (64u << 10) /* a socket takes this without a reader */

/* The socket's other end has sent `bytes` and is closed. */
static int socket_with(const uint8_t *bytes, size_t size)
{
    int ends[2];
    assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    assert(send(ends[1], bytes, size, 0) == (ssize_t)size);
    close(ends[1]);
    return ends[0];
}

static void check(const struct pvsg_command *command, uint8_t room_for_sense)
{
    const struct pvsg_answer *answer = &command->answer;
    assert(answer->data_in <= command->request.room && answer->residual <= command->request.room);
    assert(answer->sense_length <= PVSG_SENSE);
    uint8_t *sense = malloc(room_for_sense + 1u); /* of its size, for the sanitizer */
    struct sg_io_hdr header = {.sbp = sense, .mx_sb_len = room_for_sense};
    struct sg_io_v4 header4 = {.response = (uintptr_t)sense, .max_response_len = room_for_sense};
    pvsg_finish_v3(command, &header);
    assert(header.sb_len_wr <= room_for_sense && header.status == answer->status);
    assert(!header.info == !(header.masked_status || header.host_status || header.driver_status));
    pvsg_finish_v4(command, &header4);
    assert(header4.response_len <= room_for_sense);
    free(sense);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER || size > MAX_SIZE) {
        return 0;
    }
    struct pvsg_command command = {.request = {.act = PVSG_COMMAND, .cdb_length = 6}};
    uint32_t room = data[0] | data[1] << 8;
    uint32_t count = data[2] % PIECES + 1;
    uint8_t *memory[PIECES];
    struct iovec pieces[PIECES];
    for (uint32_t i = 0; i < count; i++) {
        size_t length = i + 1 < count ? room / count : room - room / count * (count - 1);
        memory[i] = malloc(length + !length);
        pieces[i] = (struct iovec){memory[i], length};
    }
    command.request.room = room;
    command.data = (struct pvsg_data){pieces, (int)count, room};
    int socket = socket_with(data + HEADER, size - HEADER);
    int error = pvsg_receive(socket, &command.request, &command.answer, command.data);
    assert(error == 0 || error == -ENODEV);
    if (!error) {
        check(&command, data[3]);
    }
    close(socket);
    for (uint32_t i = 0; i < count; i++) {
        free(memory[i]);
    }
    return 0;
}
