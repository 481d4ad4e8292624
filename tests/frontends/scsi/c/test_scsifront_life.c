/* A SCSI frontend's commands from submission to their end: room, ABORT, RESET, lost backends. */
#include "frontends/scsi/c/fake_scsiback.h"

#define SLOTS 16u

static struct pv_scsifront_command commands[40];

static struct pv_scsifront_command management(uint8_t act, struct pv_scsifront_command *subject)
{
    return (struct pv_scsifront_command){.act = act, .subject = subject, .rslt = 99};
}

/* Submits `count` CDBs without data, each for the LUN of its number. */
static void submit_many(struct pv_scsifront_queue *queue, unsigned count)
{
    struct pv_scsifront_command *list[40];
    for (unsigned i = 0; i < count; i++) {
        commands[i] = fake_command(VSCSIIF_NO_DATA, i, NULL, 0);
        commands[i].lun = (uint16_t)i;
        list[i] = &commands[i];
    }
    assert(pv_scsifront_submit(queue, list, count) == 0);
}

static void test_what_is_no_command(void)
{
    uint8_t data[8];
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command good = fake_command(VSCSIIF_TO_DEVICE, 0, data, 8);
    const struct pv_scsifront_command none = {0};
    struct pv_scsifront_command bad[10];
    for (int i = 0; i < 10; i++)
        bad[i] = good;
    bad[0].cdb_length = 0;
    bad[1].cdb_length = 17;
    bad[2].direction = VSCSIIF_BIDIRECTIONAL;
    bad[3].direction = 4;
    bad[4].direction = VSCSIIF_NO_DATA; /* with data */
    bad[5].data = NULL;
    bad[6].length = 26 * 4096 + 1;
    bad[7].act = VSCSIIF_ACT_SCSI_SG_PRESET;
    bad[8] = management(VSCSIIF_ACT_SCSI_ABORT, NULL);
    bad[9] = none;
    for (int i = 0; i < 10; i++) {
        struct pv_scsifront_command *list[] = {&good, &bad[i]};
        assert(pv_scsifront_submit(queue, list, 2) == -EINVAL);
    }
    assert(pv_scsifront_outstanding(queue) == 0 && fake_waiting(peer) == 0);
    assert(pv_scsifront_connect(queue, 0) == -EINVAL);
    assert(!pv_scsifront_create(&(struct pv_scsifront_config){0}) && errno == EINVAL);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void test_slot(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_vscsiif_request request;
    struct pv_scsifront_command command = fake_command(VSCSIIF_NO_DATA, 0x01020304, NULL, 0);
    command.channel = 1, command.target = 0x203, command.lun = 0x405;
    fake_submit(queue, &command);
    fake_take(peer, &request);
    assert(request.act == VSCSIIF_ACT_SCSI_CDB && request.cmd_len == 10);
    assert(request.channel == 1 && request.id == 0x203 && request.lun == 0x405);
    assert(memcmp(request.cmnd, command.cdb, 16) == 0 && request.nr_segments == 0);
    assert(request.sc_data_direction == VSCSIIF_NO_DATA && request.ref_rqid == 0);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* All is answered, in the order of submission and with one notification a batch, but for one slot
 * that ABORT and RESET have to themselves. */
static void test_room(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command *done[40];
    struct pv_scsifront_stats stats;
    submit_many(queue, 40);
    assert(fake_waiting(peer) == SLOTS - 1 && peer->guest.notifications == 1);
    assert(!pv_scsifront_has_news(queue) && !pv_scsifront_arm(queue));
    for (unsigned got = 0; got < 40;) {
        fake_serve(peer);
        int count = pv_scsifront_poll(queue, done, 7);
        assert(count > 0 && count <= 7);
        for (int i = 0; i < count; i++)
            assert(done[i] == &commands[got++] && done[i]->rslt == 0);
        assert(pv_scsifront_outstanding(queue) == 40 - got);
    }
    pv_scsifront_get_stats(queue, &stats);
    assert(stats.cdb_req == 40 && stats.responses == 40 && stats.oo_req == 1);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void test_abort_passes_a_full_ring(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_vscsiif_request request;
    struct pv_scsifront_command *done[8];
    submit_many(queue, 20);
    struct pv_scsifront_command abort = management(VSCSIIF_ACT_SCSI_ABORT, &commands[3]);
    fake_submit(queue, &abort);
    for (unsigned i = 0; i < SLOTS - 1; i++)
        fake_take(peer, &request);
    fake_take(peer, &request);
    assert(request.act == VSCSIIF_ACT_SCSI_ABORT && request.ref_rqid == commands[3].rqid);
    /* Linux' backend does not answer what it has aborted. */
    fake_answer(peer, request.rqid, VSCSIIF_RSLT_RESET_SUCCESS);
    assert(pv_scsifront_poll(queue, done, 8) == 2 && done[0] == &commands[3] && done[1] == &abort);
    assert(commands[3].rslt == 5 << 16 && abort.rslt == VSCSIIF_RSLT_RESET_SUCCESS);
    /* Ours does; the answer frees the slot, and is nobody's. */
    assert(fake_waiting(peer) == 0);
    fake_answer(peer, commands[3].rqid, 5 << 16);
    fake_expect(queue, NULL);
    assert(fake_waiting(peer) == 1 && pv_scsifront_broken(queue) == PV_SCSIFRONT_OK);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* The subject is answered while its ABORT is under way, and the rqid is another's then. */
static void test_abort_comes_too_late(void)
{
    for (int success = 0; success <= 1; success++) {
        struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
        struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
        submit_many(queue, 1);
        struct pv_scsifront_command abort = management(VSCSIIF_ACT_SCSI_ABORT, &commands[0]);
        fake_submit(queue, &abort);
        fake_answer(peer, commands[0].rqid, 0);
        fake_expect(queue, &commands[0]);
        uint16_t rqid = commands[0].rqid;
        submit_many(queue, 1);
        assert(commands[0].rqid == rqid);
        int32_t rslt = success ? VSCSIIF_RSLT_RESET_SUCCESS : VSCSIIF_RSLT_RESET_FAILED;
        fake_answer(peer, abort.rqid, rslt);
        fake_expect(queue, &abort);
        assert(abort.rslt == rslt && pv_scsifront_outstanding(queue) == 1);
        fake_answer(peer, rqid, 0);
        fake_expect(queue, &commands[0]);
        assert(commands[0].rslt == 0);
        pv_scsifront_destroy(queue);
        fake_scsiback_destroy(peer, 0);
    }
}

/* A failed one changes nothing: the subject's answer still comes. */
static void test_abort_fails(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    submit_many(queue, 1);
    struct pv_scsifront_command abort = management(VSCSIIF_ACT_SCSI_ABORT, &commands[0]);
    fake_submit(queue, &abort);
    fake_answer(peer, abort.rqid, VSCSIIF_RSLT_RESET_FAILED);
    fake_expect(queue, &abort);
    fake_answer(peer, commands[0].rqid, 0);
    fake_expect(queue, &commands[0]);
    assert(commands[0].rslt == 0);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* What waits for room is aborted without the backend. */
static void test_abort_of_what_waits(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command *done[8];
    submit_many(queue, 17);
    struct pv_scsifront_command first = management(VSCSIIF_ACT_SCSI_ABORT, &commands[15]);
    struct pv_scsifront_command again = management(VSCSIIF_ACT_SCSI_ABORT, &commands[15]);
    fake_submit(queue, &first);
    fake_submit(queue, &again); /* it has ended, and was not returned yet */
    assert(pv_scsifront_has_news(queue) && pv_scsifront_arm(queue));
    assert(pv_scsifront_poll(queue, done, 8) == 3);
    assert(done[0] == &commands[15] && done[1] == &first && done[2] == &again);
    assert(commands[15].rslt == 5 << 16 && first.rslt == VSCSIIF_RSLT_RESET_SUCCESS);
    assert(fake_waiting(peer) == SLOTS - 1 && again.rslt == VSCSIIF_RSLT_RESET_SUCCESS);
    fake_serve(peer);
    assert(pv_scsifront_poll(queue, done, 8) == 8);
    fake_serve(peer);
    assert(pv_scsifront_poll(queue, done, 8) == 8 && done[7] == &commands[16]);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* It ends what its logical unit had before, and nothing else. */
static void test_reset(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command *done[8];
    struct pv_vscsiif_request request;
    submit_many(queue, 4);
    struct pv_scsifront_command reset = management(VSCSIIF_ACT_SCSI_RESET, NULL);
    struct pv_scsifront_command later = fake_command(VSCSIIF_NO_DATA, 0, NULL, 0);
    reset.lun = later.lun = 2;
    fake_submit(queue, &reset);
    fake_submit(queue, &later);
    for (unsigned i = 0; i < 5; i++)
        fake_take(peer, &request);
    assert(request.act == VSCSIIF_ACT_SCSI_RESET && request.lun == 2);
    fake_answer(peer, request.rqid, VSCSIIF_RSLT_RESET_SUCCESS);
    assert(pv_scsifront_poll(queue, done, 8) == 2);
    assert(done[0] == &commands[2] && commands[2].rslt == 8 << 16);
    assert(done[1] == &reset && reset.rslt == VSCSIIF_RSLT_RESET_SUCCESS);
    assert(pv_scsifront_outstanding(queue) == 4);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* A lost backend may have carried out what it had, so that is not submitted again. */
static void test_next_connection(void)
{
    static uint8_t data[4096];
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *old = fake_connect(peer, 0, 1);
    struct pv_scsifront_command *done[40];
    submit_many(old, 20);
    struct pv_scsifront_command in_buffer =
        fake_command(VSCSIIF_TO_DEVICE, 0, pv_scsifront_buffers(old), 512);
    struct pv_scsifront_command write = fake_command(VSCSIIF_TO_DEVICE, 0, data, 4096);
    struct pv_scsifront_command reset = management(VSCSIIF_ACT_SCSI_RESET, NULL);
    fake_submit(old, &in_buffer);
    fake_submit(old, &write);
    fake_submit(old, &reset);
    fake_answer(peer, commands[4].rqid, 0);
    assert(pv_scsifront_poll(old, done, 0) == 0); /* taken, and not returned */
    pv_scsifront_stop(old);
    assert(pv_scsifront_submit(old, done, 0) == -ENOTCONN);
    assert(pv_scsifront_poll(old, done, 1) == -ENOTCONN && pv_scsifront_has_news(old));
    pv_scsifront_disconnect(old);

    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    assert(pv_scsifront_requeue(queue, old) == -EINVAL);
    memset(data, 0x5a, sizeof(data));
    assert(pv_scsifront_requeue(old, queue) == 5 + 1); /* commands 15 to 19, and write */
    assert(pv_scsifront_outstanding(old) == 0 && pv_scsifront_outstanding(queue) == 23);
    assert(fake_waiting(peer) == 6);
    fake_serve(peer);
    assert(pv_scsifront_poll(queue, done, 40) == 23);
    for (unsigned i = 0; i < 20; i++)
        assert(commands[i].rslt == (i < 15 ? 8 << 16 : 0));
    assert(in_buffer.rslt == 1 << 16 && in_buffer.residual == 512);
    assert(write.rslt == 0 && memcmp(peer->medium, data, 4096) == 0);
    assert(reset.rslt == VSCSIIF_RSLT_RESET_FAILED);
    pv_scsifront_destroy(old);
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

static void test_give_up(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_X86_64);
    struct pv_scsifront_queue *queue = fake_connect(peer, 0, 0);
    struct pv_scsifront_command *done[40];
    submit_many(queue, 20);
    assert(pv_scsifront_give_up(queue, done, 40) == -EINVAL);
    pv_scsifront_stop(queue);
    assert(pv_scsifront_give_up(queue, done, 12) == 12);
    assert(pv_scsifront_give_up(queue, done, 40) == 8);
    assert(pv_scsifront_give_up(queue, done, 40) == 0 && pv_scsifront_outstanding(queue) == 0);
    for (unsigned i = 0; i < 20; i++)
        assert(commands[i].rslt == (i < 15 ? 8 << 16 : 1 << 16));
    pv_scsifront_destroy(queue);
    fake_scsiback_destroy(peer, 0);
}

/* A queue that was never connected gives all back too. */
static void test_never_connected(void)
{
    struct fake_scsiback *peer = fake_scsiback_create(PV_ABI_IA64);
    struct pv_scsifront_config config = {.hypervisor = &peer->guest.hypervisor,
                                         .evtchn = (struct pv_evtchn *)peer};
    struct pv_scsifront_queue *queue = pv_scsifront_create(&config);
    struct pv_scsifront_command command = fake_command(VSCSIIF_NO_DATA, 0, NULL, 0);
    struct pv_scsifront_command *list[] = {&command};
    char line[256];
    assert(pv_scsifront_submit(queue, list, 1) == -ENOTCONN && !pv_scsifront_buffers(queue));
    assert(pv_scsifront_describe(queue, line, sizeof(line)) < (int)sizeof(line));
    assert(strstr(line, "open, 64 slots"));
    pv_scsifront_stop(queue);
    assert(pv_scsifront_give_up(queue, list, 1) == 0);
    pv_scsifront_disconnect(queue);
    pv_scsifront_destroy(queue);
    pv_scsifront_destroy(NULL);
    peer->guest.most_grants = 0;
    assert(!pv_scsifront_create(&config) && errno == ENOSPC);
    fake_scsiback_destroy(peer, 0);
}

int main(void)
{
    test_what_is_no_command();
    test_slot();
    test_room();
    test_abort_passes_a_full_ring();
    test_abort_comes_too_late();
    test_abort_fails();
    test_abort_of_what_waits();
    test_reset();
    test_next_connection();
    test_give_up();
    test_never_connected();
    return 0;
}
