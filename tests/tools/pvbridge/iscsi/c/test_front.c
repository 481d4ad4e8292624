/* The iSCSI front's data plane: what it carries out, what it leaves, and what it sends. */
#include "tools/pvbridge/iscsi/c/front.h"

static void a_read_is_answered_by_its_data_with_the_status(void)
{
    struct front front = front_create();
    memset(front.peer->medium + 4096, 0x5A, 8 * BLOCK);
    struct wire_pdu command = front_transfer(&front, 0x28, 4096, 8), answer;
    put_be32(command.header + 8, (0x4000 | LUN) << 16);
    front_carry(&front, &command);
    assert(front.session->nr_carried == 1);
    fake_serve(front.peer);
    front_poll(&front);
    assert(pv_iscsi_flush(front.connection) == 0);
    front_receive(&front, &answer);
    assert(answer.header[0] == DATA_IN && answer.header[1] == 0x81 && answer.header[3] == 0);
    assert(memcmp(answer.header + 8, command.header + 8, 12) == 0); /* LUN and tag */
    assert(get_be32(answer.header + 20) == NO_TAG);
    assert(get_be32(answer.header + 24) == 1);                 /* StatSN */
    assert(get_be32(answer.header + 28) == FIRST_CMD_SN + 1);  /* ExpCmdSN */
    assert(get_be32(answer.header + 32) == FIRST_CMD_SN + 64); /* MaxCmdSN */
    assert(answer.length == 8 * BLOCK && memcmp(answer.data, front.peer->medium + 4096, 4096) == 0);
    assert(!front_has_sent(&front) && front.session->nr_carried == 0);
    front_destroy(&front);
}

static void a_write_takes_its_data_along(void)
{
    struct front front = front_create();
    for (uint32_t number = 0; number < 3; number++) { /* over the wrap of CmdSN */
        struct wire_pdu command = front_transfer(&front, 0x2A, 7000 * number, 3), answer;
        front_carry(&front, &command);
        fake_serve(front.peer);
        front_poll(&front);
        assert(memcmp(front.peer->medium + 7000 * number, command.data, 3 * BLOCK) == 0);
        assert(pv_iscsi_flush(front.connection) == 0);
        front_receive(&front, &answer);
        assert(answer.header[0] == SCSI_RESPONSE && answer.header[1] == 0x80);
        assert(answer.header[3] == 0 && answer.length == 0);
        assert(get_be32(answer.header + 24) == 1 + number);
        assert(get_be32(answer.header + 28) == FIRST_CMD_SN + 1 + number);
    }
    front_destroy(&front);
}

static void commands_of_every_length(void)
{
    static const uint8_t cdbs[][16] = {
        {0x00},
        {0x35, 2},
        {0x91},
        {0x08, 0, 0, 0, 2},
        {0x0A, 0, 0, 0, 2},
        {0x28, 0, 0, 0, 0, 0, 0, 0, 2},
        {0x2A, 8, 0, 0, 0, 0, 0, 0, 2},
        {0xA8, 0, 0, 0, 0, 0, 0, 0, 0, 2},
        {0xAA, 0, 0, 0, 0, 0, 0, 0, 0, 2},
        {0x88, [13] = 2},
        {0x8A, [13] = 2},
        {0x08}, /* 0 blocks are 256 */
    };
    static const uint8_t lengths[] = {6, 10, 16, 6, 6, 10, 10, 12, 12, 16, 16, 6};
    struct front front = front_create();
    for (size_t i = 0; i < sizeof(lengths); i++) {
        bool moves = i >= 3, writes = moves && (cdbs[i][0] & 0x02);
        uint32_t bytes = !moves ? 0 : i == 11 ? 256 * BLOCK : 2 * BLOCK;
        struct wire_pdu pdu = front_command(&front, cdbs[i], 16,
                                            writes  ? WRITES
                                            : moves ? READS
                                                    : NO_DATA,
                                            bytes);
        pdu.length = writes ? bytes : 0;
        front_carry(&front, &pdu);
        struct pv_vscsiif_request request;
        fake_take(front.peer, &request);
        assert(request.cmd_len == lengths[i] && memcmp(request.cmnd, cdbs[i], 16) == 0);
        assert(request.sc_data_direction == (writes  ? VSCSIIF_TO_DEVICE
                                             : moves ? VSCSIIF_FROM_DEVICE
                                                     : VSCSIIF_NO_DATA));
        fake_answer(front.peer, request.rqid, 0);
        front_poll(&front);
    }
    front_destroy(&front);
}

/* ---- What is Python's ---------------------------------------------------------------------- */

static void spoil(struct front *front, struct wire_pdu *pdu, unsigned way)
{
    uint8_t *header = pdu->header;
    switch (way) {
    case 0:
        header[0] |= 0x40; /* immediate */
        break;
    case 1:
        header[0] = 0x00; /* another request */
        break;
    case 2:
        put_be32(header + 24, front->session->expected + 1); /* out of turn */
        break;
    case 3:
        front->session->early = 1;
        break;
    case 4:
        put_be32(header + 16, NO_TAG);
        break;
    case 5:
        header[9] = 5; /* no such LUN */
        break;
    case 6:
        header[9] = 7; /* without blocks */
        break;
    case 7:
        header[15] = 1; /* no LUN of one level */
        break;
    case 8:
        header[8] = 0xC0; /* of extended addressing */
        break;
    case 9:
        header[1] &= ~0x80; /* more data come */
        break;
    case 10:
        header[1] |= 0x60; /* both directions */
        break;
    case 11:
        header[1] &= ~0x60; /* neither */
        break;
    case 12:
        put_be32(header + 20, BLOCK + 1); /* not as many as it moves */
        break;
    case 13:
        header[32] = 0x2E; /* WRITE AND VERIFY */
        break;
    case 14:
        pdu->length += 4; /* data, and not so many */
        break;
    case 15:
        front->session->max_transfer = BLOCK - 1;
        break;
    case 16:
        put_be32(header + 20, 0);
        header[40] = 0; /* no blocks */
        pdu->length = 0;
        break;
    case 17:
        put_be32(header + 20, 128 * BLOCK); /* longer than the ring's commands may be */
        header[40] = 128 + 1;
        break;
    case 18:
        front->session->first_burst = BLOCK - 1;
        break;
    case 19:
        front->session->immediate_data = false;
        break;
    case 20:
        pdu->length = 0; /* the data come later */
        break;
    }
}

static void what_is_not_plain_is_left(void)
{
    for (unsigned way = 0; way <= 20; way++) {
        struct front front = front_create();
        bool writes = way >= 18;
        struct wire_pdu pdu = front_transfer(&front, writes ? 0x2A : 0x28, 0, 1);
        spoil(&front, &pdu, way);
        front_send(&front, &pdu);
        struct pv_iscsi_pdu left;
        assert(front_take(&front, &left) == PV_ISCSI_PDU);
        assert(memcmp(left.header, pdu.header, PV_ISCSI_HEADER) == 0);
        assert(left.length == pdu.length && memcmp(left.data, pdu.data, left.length) == 0);
        assert(front.session->expected == FIRST_CMD_SN && front.session->nr_carried == 0);
        assert(fake_waiting(front.peer) == 0);
        assert(pv_iscsi_take(front.connection, front.queue, &left) == PV_ISCSI_NOTHING);
        front_destroy(&front);
    }
}

static void everything_is_left_without_a_ring_or_a_session(void)
{
    struct front front = front_create();
    struct wire_pdu pdu = front_transfer(&front, 0x28, 0, 1);
    struct pv_iscsi_pdu left;
    front_send(&front, &pdu);
    pv_iscsi_receive(front.connection);
    assert(pv_iscsi_take(front.connection, NULL, &left) == PV_ISCSI_PDU);
    front_send(&front, &pdu);
    pv_iscsi_receive(front.connection);
    front.connection->session = NULL; /* during login */
    assert(pv_iscsi_take(front.connection, front.queue, &left) == PV_ISCSI_PDU);
    front.connection->session = front.session;
    front_destroy(&front);
}

static void a_tag_in_use_is_left(void)
{
    struct front front = front_create();
    struct wire_pdu first = front_transfer(&front, 0x28, 0, 1), again = first;
    struct pv_iscsi_pdu left;
    front_carry(&front, &first);
    put_be32(again.header + 24, front.cmd_sn++);
    front_send(&front, &again);
    assert(front_take(&front, &left) == PV_ISCSI_PDU);
    fake_serve(front.peer);
    front_poll(&front);
    assert(!pv_iscsi_has_tag(front.session, front.tag));
    assert(pv_iscsi_take_tag(front.session, front.tag));
    front_send(&front, &again);
    assert(front_take(&front, &left) == PV_ISCSI_PDU);
    pv_iscsi_give_tag(front.session, front.tag);
    front_carry(&front, &again);
    assert(front.session->nr_carried == 1);
    pv_iscsi_give_tag(front.session, front.tag); /* it is no command of Python's */
    assert(pv_iscsi_has_tag(front.session, front.tag));
    assert(pv_iscsi_take_tag(front.session, 1)); /* ends with the session */
    front_destroy(&front);
}

/* ---- The socket ---------------------------------------------------------------------------- */

static void a_pdu_that_comes_byte_by_byte(void)
{
    struct front front = front_create();
    struct wire_pdu pdu = front_transfer(&front, 0x2A, 64, 1);
    struct pv_iscsi_pdu left;
    pdu.header[6] = BLOCK >> 8;
    for (size_t i = 0; i < PV_ISCSI_HEADER + BLOCK; i++) {
        assert(front.session->nr_carried == 0);
        const uint8_t *bytes =
            i < PV_ISCSI_HEADER ? pdu.header + i : pdu.data + i - PV_ISCSI_HEADER;
        assert(write(front.other, bytes, 1) == 1);
        assert(front_take(&front, &left) == PV_ISCSI_NOTHING);
    }
    assert(front.session->nr_carried == 1);
    front_destroy(&front);
}

static void many_in_one_piece_are_published_together(void)
{
    struct front front = front_create();
    struct pv_iscsi_pdu left;
    for (unsigned i = 0; i < 100; i++) {
        struct wire_pdu pdu = front_transfer(&front, 0x28, i, 1);
        front_send(&front, &pdu);
    }
    unsigned before = front.peer->guest.notifications;
    assert(front_take(&front, &left) == PV_ISCSI_NOTHING);
    assert(front.session->nr_carried == 100 && front.connection->carried == 100);
    assert(front.peer->guest.notifications <= before + 2);
    while (pv_scsifront_outstanding(front.queue) > 0) {
        fake_serve(front.peer);
        front_poll(&front);
    }
    for (unsigned i = 0; i < 100; i++) {
        struct wire_pdu answer;
        pv_iscsi_flush(front.connection);
        front_receive(&front, &answer);
        assert(get_be32(answer.header + 24) == 1 + i);
    }
    front_destroy(&front);
}

static void the_end_of_what_comes(void)
{
    struct front front = front_create();
    struct pv_iscsi_pdu left;
    struct wire_pdu pdu = {.header = {0x00, 0x80, [4] = 2, [7] = 5}, .length = 5 + 8};
    memcpy(pdu.data + 8, "hello", 5); /* behind an additional header of 8 bytes */
    assert(write(front.other, pdu.header, PV_ISCSI_HEADER) == PV_ISCSI_HEADER);
    assert(write(front.other, pdu.data, 16) == 16);
    assert(write(front.other, pdu.header, 20) == 20);
    shutdown(front.other, SHUT_WR);
    assert(front_take(&front, &left) == PV_ISCSI_PDU);
    assert(left.length == 5 && memcmp(left.data, "hello", 5) == 0);
    assert(front_take(&front, &left) == PV_ISCSI_ENDED);
    front_destroy(&front);
}

static void more_data_than_were_agreed(void)
{
    struct front front = front_create();
    struct pv_iscsi_pdu left;
    uint8_t header[PV_ISCSI_HEADER] = {[5] = 4, [7] = 1};
    assert(write(front.other, header, sizeof(header)) == sizeof(header));
    assert(front_take(&front, &left) == PV_ISCSI_TOO_LONG && left.length == 262145);
    front_destroy(&front);
}

static void what_the_socket_does_not_take_waits(void)
{
    struct front front = front_create();
    static uint8_t content[1 << 18];
    size_t unsent = 0;
    for (unsigned i = 0; i < 16; i++) {
        memset(content, (int)i, sizeof(content));
        struct pv_iscsi_answer answer = {.tag = i, .data = content, .length = 100001};
        pv_iscsi_answer(front.connection, &answer);
        unsent = pv_iscsi_flush(front.connection);
    }
    assert(unsent > 0);
    for (unsigned i = 0; i < 16; i++) {
        for (uint32_t place = 0; place < 100001;) {
            struct wire_pdu pdu;
            front_receive(&front, &pdu);
            assert(get_be32(pdu.header + 16) == i && get_be32(pdu.header + 40) == place);
            for (uint32_t at = 0; at < pdu.length; at++)
                assert(pdu.data[at] == i);
            place += pdu.length;
        }
    }
    assert(pv_iscsi_flush(front.connection) == 0 && !front_has_sent(&front));
    front_destroy(&front);
}

static void an_end_that_is_gone(void)
{
    struct front front = front_create();
    struct pv_iscsi_answer answer = {.tag = 1};
    close(front.other);
    pv_iscsi_answer(front.connection, &answer);
    assert(pv_iscsi_flush(front.connection) == 0);
    assert(front.connection->error == EPIPE);
    pv_iscsi_answer(front.connection, &answer); /* to nobody */
    assert(pv_iscsi_flush(front.connection) == 0);
    struct pv_iscsi_pdu left;
    assert(pv_iscsi_take(front.connection, front.queue, &left) == PV_ISCSI_ENDED);
    front.other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    front_destroy(&front);
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void data_go_in_pieces_that_were_agreed(void)
{
    static const uint32_t sizes[][3] = {/* a PDU, a burst, all */
                                        {512, 512, 512},   {512, 2048, 5120}, {1000, 1700, 5000},
                                        {8192, 700, 2100}, {600, 1800, 1800}, {513, 1024, 1}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct front front = front_create();
        uint32_t most = front.connection->max_data = sizes[i][0];
        uint32_t burst = front.connection->max_burst = sizes[i][1];
        uint8_t content[5120];
        for (uint32_t at = 0; at < sizeof(content); at++)
            content[at] = (uint8_t)(at * 13 + at / 256);
        struct pv_iscsi_answer answer = {
            .tag = 5, .lun = {0x41, 0x2C}, .data = content, .length = sizes[i][2]};
        pv_iscsi_answer(front.connection, &answer);
        pv_iscsi_flush(front.connection);
        uint32_t in_sequence = 0, number = 0;
        for (uint32_t place = 0; place < answer.length;) {
            struct wire_pdu pdu;
            front_receive(&front, &pdu);
            assert(pdu.length > 0 && pdu.length <= most);
            assert(get_be32(pdu.header + 36) == number++ && get_be32(pdu.header + 40) == place);
            assert(memcmp(pdu.data, content + place, pdu.length) == 0);
            place += pdu.length;
            in_sequence += pdu.length;
            bool final = pdu.header[1] & 0x80;
            assert(final == (in_sequence == burst || place == answer.length));
            assert((pdu.header[1] & 1) == (place == answer.length)); /* the status */
            assert(get_be32(pdu.header + 24) == (place == answer.length));
            if (final)
                in_sequence = 0;
        }
        assert(in_sequence == 0 && !front_has_sent(&front));
        front_destroy(&front);
    }
}

static struct wire_pdu response_to(const struct pv_iscsi_answer *answer)
{
    struct front front = front_create();
    struct wire_pdu pdu;
    pv_iscsi_answer(front.connection, answer);
    pv_iscsi_flush(front.connection);
    do
        front_receive(&front, &pdu);
    while (pdu.header[0] != SCSI_RESPONSE && front_has_sent(&front));
    assert(!front_has_sent(&front));
    front_destroy(&front);
    return pdu;
}

static void how_commands_end(void)
{
    static const struct {
        int32_t rslt;
        uint8_t response, status;
    } ends[] = {
        {0x00, 0, 0x00},       {0x02, 0, 0x02},    {0x18, 0, 0x18},    {2 << 16, 0, 0x08},
        {12 << 16, 0, 0x08},   {13 << 16, 0, 8},   {5 << 16, 0, 0x40}, {8 << 16, 0, 0x40},
        {1 << 16, 1, 0},       {3 << 16, 1, 0},    {7 << 16, 1, 0},    {(1 << 16) | 2, 1, 0},
        {0x08000002, 0, 0x02}, {0x06000000, 1, 0},
    };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct pv_iscsi_answer answer = {.tag = 3, .rslt = ends[i].rslt, .residual = 9};
        struct wire_pdu pdu = response_to(&answer);
        assert(pdu.header[0] == SCSI_RESPONSE && get_be32(pdu.header + 16) == 3);
        assert(pdu.header[2] == ends[i].response && pdu.header[3] == ends[i].status);
        assert(pdu.header[1] == (ends[i].response ? 0x80 : 0x82)); /* underflow */
        assert(get_be32(pdu.header + 44) == (ends[i].response ? 0 : 9));
    }
}

static void sense_and_residuals(void)
{
    const uint8_t sense[] = {0x70, 0, 5}, data[700] = {1};
    struct pv_iscsi_answer answer = {.rslt = 0x02,
                                     .data = data,
                                     .length = sizeof(data),
                                     .sense = sense,
                                     .sense_length = sizeof(sense),
                                     .overflow = 4};
    struct wire_pdu pdu = response_to(&answer);
    assert(pdu.length == 5 && memcmp(pdu.data, (uint8_t[]){0, 3, 0x70, 0, 5}, 5) == 0);
    assert(get_be32(pdu.header + 36) == 1);                          /* ExpDataSN */
    assert(pdu.header[1] == 0x80 && get_be32(pdu.header + 44) == 0); /* no overflow */
    answer.rslt = 0x18;                                              /* without sense */
    assert(response_to(&answer).length == 0);
    answer.rslt = 0;
    pdu = response_to(&answer);
    assert(pdu.header[0] == DATA_IN && pdu.header[1] == 0x85); /* overflow */
    assert(get_be32(pdu.header + 44) == 4);
}

static void a_command_that_fails_has_no_data(void)
{
    struct front front = front_create();
    struct wire_pdu command = front_transfer(&front, 0x28, 0, 1), answer;
    struct pv_vscsiif_request request;
    front_carry(&front, &command);
    fake_take(front.peer, &request);
    struct pv_vscsiif_response response = {.rqid = request.rqid,
                                           .rslt = 0x02,
                                           .residual_len = BLOCK,
                                           .sense_len = 3,
                                           .sense = {0x70, 0, 3}};
    fake_respond(front.peer, &response);
    front_poll(&front);
    pv_iscsi_flush(front.connection);
    front_receive(&front, &answer);
    assert(answer.header[0] == SCSI_RESPONSE && answer.header[3] == 0x02);
    assert(answer.header[1] == 0x82 && get_be32(answer.header + 44) == BLOCK);
    assert(answer.length == 5 && answer.data[4] == 3);
    front_destroy(&front);
}

static void a_ring_that_takes_nothing(void)
{
    struct front front = front_create();
    struct wire_pdu command = front_transfer(&front, 0x28, 0, 1), answer;
    pv_scsifront_stop(front.queue);
    front_carry(&front, &command);
    pv_iscsi_flush(front.connection);
    front_receive(&front, &answer);
    assert(answer.header[0] == SCSI_RESPONSE && answer.header[3] == 0x08); /* BUSY */
    front_destroy(&front);
}

/* ---- Ends of what is under way ------------------------------------------------------------- */

static void a_cancelled_command_is_not_answered(void)
{
    struct front front = front_create();
    for (unsigned i = 0; i < 2; i++) {
        struct wire_pdu command = front_transfer(&front, 0x28, 0, 1);
        front_carry(&front, &command);
    }
    struct pv_iscsi_task *tasks[2];
    assert(front.session->nr_carried == 2);
    pv_iscsi_tasks(front.session, tasks);
    assert(pv_iscsi_cancel(tasks[0]) && !pv_iscsi_cancel(tasks[0]));
    uint32_t cancelled = tasks[0]->tag, other = tasks[1]->tag;
    assert(!pv_iscsi_has_tag(front.session, cancelled) && pv_iscsi_has_tag(front.session, other));
    pv_iscsi_task_release(tasks[0]);
    fake_serve(front.peer);
    front_poll(&front);
    assert(!pv_iscsi_cancel(tasks[1])); /* it has been answered */
    assert(tasks[1]->command.place == PV_SCSIFRONT_FINISHED);
    pv_iscsi_task_release(tasks[1]);
    pv_iscsi_flush(front.connection);
    struct wire_pdu answer;
    front_receive(&front, &answer);
    assert(get_be32(answer.header + 16) == other && !front_has_sent(&front));
    front_destroy(&front);
}

static void a_connection_that_ends_with_commands_under_way(void)
{
    struct front front = front_create();
    int ends[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    struct pv_iscsi_connection *second = front_connection(front.session, ends[0]), *first;
    struct wire_pdu command = front_transfer(&front, 0x2A, 99, 1), answer;
    front_carry(&front, &command);
    struct wire_pdu other = front_transfer(&front, 0x28, 99, 1);
    first = front.connection;
    int first_end = front.other;
    front.connection = second;
    front.other = ends[1];
    front_carry(&front, &other);
    close(first->fd);
    close(first_end);
    pv_iscsi_free(first);
    assert(front.session->nr_carried == 1);
    fake_serve(front.peer);
    front_poll(&front); /* both end, and one is answered */
    pv_iscsi_flush(second);
    front_receive(&front, &answer);
    assert(answer.header[0] == DATA_IN && !front_has_sent(&front));
    front_destroy(&front);
}

static void a_session_that_ends_before_its_commands(void)
{
    struct front front = front_create();
    struct wire_pdu command = front_transfer(&front, 0x28, 0, 1);
    front_carry(&front, &command);
    front_close_connection(&front);
    front_destroy(&front); /* which releases the session, and then has the ring give up */
}

int main(void)
{
    a_read_is_answered_by_its_data_with_the_status();
    a_write_takes_its_data_along();
    commands_of_every_length();
    what_is_not_plain_is_left();
    everything_is_left_without_a_ring_or_a_session();
    a_tag_in_use_is_left();
    a_pdu_that_comes_byte_by_byte();
    many_in_one_piece_are_published_together();
    the_end_of_what_comes();
    more_data_than_were_agreed();
    what_the_socket_does_not_take_waits();
    an_end_that_is_gone();
    data_go_in_pieces_that_were_agreed();
    how_commands_end();
    sense_and_residuals();
    a_command_that_fails_has_no_data();
    a_ring_that_takes_nothing();
    a_cancelled_command_is_not_answered();
    a_connection_that_ends_with_commands_under_way();
    a_session_that_ends_before_its_commands();
    return 0;
}
