/* An initiator that sends what it likes to the iSCSI front's data plane, and a backend that answers
 * as it likes: nothing behind what has come is read, what goes out is iSCSI with its numbers in
 * order, and each command is answered once at most. Input: a byte of settings, then steps (a byte,
 * and the bytes that the step takes). */
#include "frontends/scsi/c/fake_scsiback.h"
#include "tests/fuzz/input.h"
#include "tools/pvbridge/iscsi/front_private.h"

#define TAGS 16u /* that Python has at most */

struct host {
    struct fake_scsiback *peer;
    struct pv_scsifront_queue *queue;
    struct pv_iscsi_session *session;
    struct pv_iscsi_connection *connection;
    uint32_t tags[TAGS], nr_tags;
    uint32_t stat_sn, cmd_sn;
    uint64_t answered, cancelled;
    bool ended; /* Python has closed the connection */
};

/* ---- The initiator, and Python ------------------------------------------------------------- */

/* The input is memory of its size exactly, for ASan to see a look behind it. */
static void receive(struct host *host, struct input *input)
{
    struct pv_iscsi_buffer *in = &host->connection->in;
    size_t left = in->end - in->start, length = take_number(input, 2) % 2048;
    length = length < input->left ? length : input->left;
    uint8_t *bytes = malloc(left + length + 1);
    memcpy(bytes, in->bytes + in->start, left);
    memcpy(bytes + left, input->data, length);
    bytes = realloc(bytes, left + length ? left + length : 1);
    input->data += length;
    input->left -= length;
    free(in->bytes);
    *in = (struct pv_iscsi_buffer){bytes, 0, left + length, left + length};
}

static void python(struct host *host, const struct pv_iscsi_pdu *pdu)
{
    uint32_t tag = get_be32(pdu->header + 16);
    uint8_t last = pdu->length ? pdu->data[pdu->length - 1] : 0;
    if (pdu->header[0] == SCSI_COMMAND && host->nr_tags < TAGS &&
        !pv_iscsi_has_tag(host->session, tag)) {
        assert(pv_iscsi_take_tag(host->session, tag));
        host->tags[host->nr_tags++] = tag;
    }
    if ((pdu->header[0] & 0x3F) == SCSI_COMMAND)
        host->session->expected++;
    host->session->early = last & 1;
}

static void take_pdus(struct host *host, bool ring)
{
    while (!host->ended) {
        uint32_t before = host->session->expected;
        uint64_t carried = host->connection->carried;
        struct pv_iscsi_pdu pdu;
        enum pv_iscsi_taken taken =
            pv_iscsi_take(host->connection, ring ? host->queue : NULL, &pdu);
        assert(host->session->expected - before == host->connection->carried - carried);
        host->ended |= taken == PV_ISCSI_TOO_LONG;
        if (taken != PV_ISCSI_PDU)
            return;
        python(host, &pdu);
    }
}

static void give_tag(struct host *host)
{
    if (host->nr_tags > 0)
        pv_iscsi_give_tag(host->session, host->tags[--host->nr_tags]);
}

static void cancel(struct host *host, uint32_t which)
{
    uint32_t count = host->session->nr_carried;
    struct pv_iscsi_task **tasks = malloc((count + 1) * sizeof(struct pv_iscsi_task *));
    pv_iscsi_tasks(host->session, tasks);
    for (uint32_t i = 0; i < count; i++) {
        if (i == which % count)
            host->cancelled += pv_iscsi_cancel(tasks[i]);
        pv_iscsi_task_release(tasks[i]);
    }
    free(tasks);
}

/* ---- What goes out ------------------------------------------------------------------------- */

static void check_output(struct host *host)
{
    struct pv_iscsi_buffer *out = &host->connection->out;
    while (out->start < out->end) {
        const uint8_t *header = out->bytes + out->start;
        uint32_t length = get_be32(header + 4);
        assert(header[0] == DATA_IN || header[0] == SCSI_RESPONSE);
        assert(header[0] == SCSI_RESPONSE || length <= host->connection->max_data);
        if (header[0] == SCSI_RESPONSE || (header[1] & 1)) {
            assert(get_be32(header + 24) == host->stat_sn++);
            host->answered++;
        }
        out->start += PV_ISCSI_HEADER + ((length + 3u) & ~3u);
    }
    assert(out->start == out->end);
    out->start = out->end = 0;
}

/* ---- The backend --------------------------------------------------------------------------- */

static void serve(struct host *host, struct input *input)
{
    if (fake_waiting(host->peer) == 0)
        return;
    struct pv_vscsiif_request request;
    fake_take(host->peer, &request);
    for (unsigned i = 0; i < (request.nr_segments & ~VSCSIIF_SG_GRANT); i++)
        fake_segment(host->peer, &request.seg[i], false);
    uint32_t what = take_number(input, 1);
    struct pv_vscsiif_response response = {.rqid = request.rqid};
    if (what & 1)
        response.sense_len = (uint8_t)(take_number(input, 1) % (VSCSIIF_SENSE_BUFFERSIZE + 1));
    if (what & 2)
        response.residual_len = take_number(input, 3);
    if (what & 4)
        response.rslt = (int32_t)take_number(input, 4);
    fake_respond(host->peer, &response);
}

static void hand_out(struct pv_scsifront_command **done, int count)
{
    assert(count >= 0);
    assert(pv_scsifront_hand_out(done, (unsigned)count) == 0);
}

static void step(struct host *host, struct input *input)
{
    struct pv_scsifront_command *done[64];
    switch (take_number(input, 1) % 8) {
    case 0:
    case 1:
        receive(host, input);
        take_pdus(host, true);
        break;
    case 2:
        take_pdus(host, false);
        break;
    case 3:
        serve(host, input);
        break;
    case 4:
        hand_out(done, pv_scsifront_poll(host->queue, done, 64));
        break;
    case 5:
        cancel(host, take_number(input, 1));
        break;
    case 6:
        give_tag(host);
        break;
    case 7:
        check_output(host);
        break;
    }
}

static void open_host(struct host *host, uint32_t settings)
{
    static const struct pv_iscsi_lun luns[] = {{0, 512}, {1, 4096}, {2, 0}, {300, 512}};
    fake_guest_init(&host->peer->guest, PV_ABI_X86_64);
    host->queue = fake_connect(host->peer, 64, 0);
    host->session = pv_iscsi_session_create(host->cmd_sn);
    assert(pv_iscsi_set_luns(host->session, luns, 4));
    host->session->max_transfer = 1 << 17;
    host->session->first_burst = 4096;
    host->session->immediate_data = settings & 1;
    host->connection = pv_iscsi_open(-1);
    host->connection->max_received = settings & 2 ? 512 : PV_ISCSI_MAX_RECEIVED;
    host->connection->max_data = settings & 4 ? 512 : 8192;
    host->connection->max_burst = settings & 8 ? 1000 : 262144;
    pv_iscsi_enter(host->connection, host->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    static struct fake_scsiback peer; /* whose medium is not used */
    struct host host = {.peer = &peer, .stat_sn = 1, .cmd_sn = 0xFFFFFFFE};
    open_host(&host, take_number(&input, 1));
    while (input.left > 0)
        step(&host, &input);
    check_output(&host);
    uint64_t left = host.session->nr_carried;
    assert(host.answered + host.cancelled + left == host.connection->carried);
    pv_iscsi_free(host.connection);
    pv_iscsi_session_release(host.session);
    struct pv_scsifront_command *done[64];
    pv_scsifront_stop(host.queue);
    for (int count; (count = pv_scsifront_give_up(host.queue, done, 64)) > 0;)
        hand_out(done, count);
    pv_scsifront_destroy(host.queue);
    fake_guest_end(&host.peer->guest, 0);
    return 0;
}
