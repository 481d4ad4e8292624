/* Commands that units carry out: data both ways, residuals, sense, ABORT, RESET, and LUNs that come
 * and go. */
#include "tests/backends/scsi/c/loopback.h"

#include "pvdrivers/backends/inflight.h"

static struct scsi_loopback loop;
static struct pv_vscsiif_response response;

static struct pv_vscsiif_request task_management(uint8_t act, uint16_t ref_rqid)
{
    return (struct pv_vscsiif_request){
        .act = act, .id = 1, .lun = 2, .ref_rqid = ref_rqid, .sc_data_direction = VSCSIIF_NO_DATA};
}

static void answered(uint16_t rqid, int32_t rslt)
{
    assert(scsi_take(&loop, &response) && response.rqid == rqid && response.rslt == rslt);
}

static void test_data_and_residual(void)
{
    memset(scsi_page(&loop, DATA), 'x', 64);
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(command->room == 36 && command->data_out == 0 && !command->reset);
    scsi_finish(command, 0, "SHORT");
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(response.residual_len == 31 && memcmp(scsi_page(&loop, DATA), "SHORTx", 6) == 0);
}

static void test_more_data_than_room(void)
{
    memset(scsi_page(&loop, DATA), 'x', 64);
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 4));
    scsi_pump(&loop);
    scsi_finish(scsi_asked(&loop), 0, "TOO LONG");
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(response.residual_len == 0 && memcmp(scsi_page(&loop, DATA), "TOO xx", 6) == 0);
}

static void test_sense(void)
{
    uint8_t sense[120];
    memset(sense, 0x5A, sizeof sense);
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 4));
    scsi_pump(&loop);
    scsi_end(scsi_asked(&loop), 2, (const uint8_t *)"ab", 2, sense, 18, 0);
    scsi_pump(&loop);
    answered(rqid, 2);
    assert(response.sense_len == 18 && response.sense[17] == 0x5A && response.sense[18] == 0);
    assert(response.residual_len == 2 && memcmp(scsi_page(&loop, DATA), "ab", 2) == 0);
    rqid = scsi_put(&loop, scsi_inquiry(&loop, 4));
    scsi_pump(&loop);
    scsi_end(scsi_asked(&loop), 2, NULL, 0, sense, sizeof sense, 0);
    scsi_pump(&loop);
    answered(rqid, 2);
    assert(response.sense_len == VSCSIIF_SENSE_BUFFERSIZE);
}

static void test_residual_of_a_write(void)
{
    const uint8_t select[6] = {0x15, 0x10, 0, 0, 24};
    uint16_t rqid = scsi_put(&loop, scsi_cdb(&loop, select, 6, VSCSIIF_TO_DEVICE, 24));
    scsi_pump(&loop);
    scsi_end(scsi_asked(&loop), 0, NULL, 0, NULL, 0, 10);
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(response.residual_len == 10);
}

/* Segments that a request without data names are not looked at, as Linux has it. */
static void test_no_data(void)
{
    struct pv_vscsiif_request request = scsi_inquiry(&loop, 36);
    request.sc_data_direction = VSCSIIF_NO_DATA;
    request.nr_segments = 200;
    uint16_t rqid = scsi_put(&loop, request);
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(command->room == 0 && command->data_out == 0);
    scsi_finish(command, 0, "ignored");
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(response.residual_len == 0);
}

static void test_both_directions(void)
{
    struct pv_vscsiif_request request = scsi_inquiry(&loop, 8);
    request.sc_data_direction = VSCSIIF_BIDIRECTIONAL;
    memcpy(scsi_page(&loop, DATA), "question", 8);
    uint16_t rqid = scsi_put(&loop, request);
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(command->data_out == 8 && memcmp(command->data, "question", 8) == 0);
    scsi_finish(command, 0, "answer");
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(response.residual_len == 2 && memcmp(scsi_page(&loop, DATA), "answer", 6) == 0);
}

/* Answers come in the order in which units end. */
static void test_answers_overtake_each_other(void)
{
    struct pv_scsi_command *commands[4];
    uint16_t first = scsi_put(&loop, scsi_inquiry(&loop, 36));
    uint16_t second = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    assert(pv_scsi_unit_take(loop.unit, commands, 4) == 2);
    assert(memcmp(commands[0]->identity, commands[1]->identity, PV_SCSI_IDENTITY) != 0);
    scsi_finish(commands[1], 0, "");
    scsi_pump(&loop);
    answered(second, 0);
    scsi_finish(commands[0], 0, "");
    scsi_pump(&loop);
    answered(first, 0);
}

/* The fd stays readable until all are taken. */
/* A command whose data have to be copied, even by a list, is not overtaken by one without. */
static void test_the_order_of_the_ring(void)
{
    const uint8_t select[6] = {0x15, 0x10, 0, 0, 24}, rewind[6] = {0x01};
    struct pv_scsi_command *commands[4];
    struct pv_vscsiif_request listed = scsi_cdb(&loop, select, 6, VSCSIIF_TO_DEVICE, 24);
    memcpy(scsi_page(&loop, DATA + 1), listed.seg, sizeof listed.seg[0]);
    listed.nr_segments = VSCSIIF_SG_GRANT | 1;
    listed.seg[0] = (struct pv_vscsiif_segment){.gref = DATA + 1, .length = sizeof listed.seg[0]};
    scsi_put(&loop, listed);
    scsi_put(&loop, scsi_cdb(&loop, select, 6, VSCSIIF_TO_DEVICE, 24));
    scsi_put(&loop, scsi_cdb(&loop, rewind, 6, VSCSIIF_NO_DATA, 0));
    scsi_put(&loop, scsi_cdb(&loop, select, 6, VSCSIIF_TO_DEVICE, 24));
    scsi_pump(&loop);
    assert(pv_scsi_unit_take(loop.unit, commands, 4) == 4);
    for (int i = 0; i < 4; i++) {
        assert(commands[i]->cdb[0] == (i == 2 ? 0x01 : 0x15));
        scsi_finish(commands[i], 0, "");
    }
    scsi_pump(&loop);
    for (int i = 0; i < 4; i++)
        assert(scsi_take(&loop, &response) && response.rqid == loop.next_rqid - 3 + i);
}

static void test_taken_one_by_one(void)
{
    for (int i = 0; i < 3; i++)
        scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    for (int i = 0; i < 3; i++) {
        struct pv_scsi_command *command;
        assert(is_readable(pv_scsi_unit_fd(loop.unit)));
        assert(pv_scsi_unit_take(loop.unit, &command, 1) == 1);
        scsi_finish(command, 0, "");
    }
    assert(!is_readable(pv_scsi_unit_fd(loop.unit)));
    scsi_pump(&loop);
    while (scsi_take(&loop, &response))
        ;
}

/* ---- ABORT and RESET ----------------------------------------------------------------------- */

static void test_abort_of_a_waiting_command(void)
{
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(!pv_scsi_command_is_aborted(command));
    uint16_t abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    assert(!scsi_take(&loop, &response) && is_readable(pv_scsi_unit_fd(loop.unit)));
    assert(pv_scsi_command_is_aborted(command));
    scsi_finish(command, ABORTED, "");
    scsi_pump(&loop);
    answered(rqid, ABORTED);
    answered(abort, VSCSIIF_RSLT_RESET_SUCCESS);
}

/* Two ABORTs of one command, and one that it is too late for. */
static void test_abort_twice_and_too_late(void)
{
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    uint16_t abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    uint16_t again = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    scsi_finish(scsi_asked(&loop), 0, "");
    scsi_pump(&loop);
    answered(rqid, 0); /* it was past aborting */
    assert(scsi_take(&loop, &response) && response.rqid == again);
    assert(scsi_take(&loop, &response) && response.rqid == abort);
    assert(response.rslt == VSCSIIF_RSLT_RESET_SUCCESS);
    abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    answered(abort, VSCSIIF_RSLT_RESET_FAILED);
    assert(scsi_stats(&loop).aborts == 3 && !scsi_asks(&loop));
}

/* The command's data are still being copied when the ABORT comes. */
static void test_abort_before_the_unit_has_it(void)
{
    const uint8_t select[6] = {0x15, 0x10, 0, 0, 24};
    uint16_t rqid = scsi_put(&loop, scsi_cdb(&loop, select, 6, VSCSIIF_TO_DEVICE, 24));
    uint16_t abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    answered(rqid, ABORTED);
    answered(abort, VSCSIIF_RSLT_RESET_SUCCESS);
    assert(!scsi_asks(&loop));
}

/* What the store has is waited for. */
static void test_abort_of_a_direct_command(void)
{
    const struct pv_blk_geometry geometry = {.sectors = BLOCKS, .sector_size = 512};
    struct pv_blk_io *io;
    scsi_close(&loop);
    scsi_init(&loop, PV_ABI_X86_64, 128, pv_external_store_create(&geometry));
    scsi_connect(&loop);
    uint16_t rqid = scsi_put(&loop, scsi_read_10(&loop, 0, 8, false));
    uint16_t abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    assert(!scsi_take(&loop, &response));
    assert(pv_external_store_take(loop.store, &io, 1) == 1);
    io->status = 0;
    pv_external_store_finish(loop.store, &io, 1);
    scsi_pump(&loop);
    answered(rqid, 0);
    answered(abort, VSCSIIF_RSLT_RESET_SUCCESS);
}

/* An ABORT means a command at its own logical unit. */
static void test_abort_at_another_lun(void)
{
    struct pv_scsi_nexus *other = pv_scsi_unit_attach(loop.unit, 6);
    const struct pv_scsiback_lun luns[] = {{0, 1, 2, loop.nexus}, {0, 1, 9, other}};
    assert(pv_scsiback_set_luns(loop.back, luns, 2) == 0);
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    struct pv_vscsiif_request request = task_management(VSCSIIF_ACT_SCSI_ABORT, rqid);
    request.lun = 9;
    uint16_t abort = scsi_put(&loop, request);
    scsi_pump(&loop);
    answered(abort, VSCSIIF_RSLT_RESET_FAILED);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(!pv_scsi_command_is_aborted(command));
    scsi_finish(command, 0, "");
    assert(pv_scsiback_set_luns(loop.back, luns, 1) == 0);
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(pv_scsi_nexus_detach(other) == 0);
}

static void test_reset(void)
{
    uint16_t rqid = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_RESET, 0));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(command->reset);
    scsi_finish(command, VSCSIIF_RSLT_RESET_SUCCESS, "no data here");
    scsi_pump(&loop);
    answered(rqid, VSCSIIF_RSLT_RESET_SUCCESS);
    assert(scsi_stats(&loop).resets == 1 && scsi_stats(&loop).emulated == 0);
}

static void test_reset_of_an_unknown_lun(void)
{
    struct pv_vscsiif_request request = task_management(VSCSIIF_ACT_SCSI_RESET, 0);
    request.lun = 7;
    assert(scsi_one(&loop, request).rslt == NO_CONNECT);
}

/* ---- LUNs that come and go ----------------------------------------------------------------- */

static void test_a_lun_that_goes_ends_what_it_has(void)
{
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(pv_scsiback_set_luns(loop.back, NULL, 0) == 0);
    uint16_t late = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    answered(late, NO_CONNECT);
    assert(pv_scsi_nexus_detach(loop.nexus) == -EBUSY);
    scsi_finish(command, 0, "");
    scsi_pump(&loop);
    answered(rqid, 0);
    assert(loop.nexus->users == 0); /* scsi_close detaches it */
}

/* A sleeping queue is woken, so that nothing waits for the guest's next request. */
static void test_a_sleeping_queue_gives_luns_up(void)
{
    assert(scsi_one(&loop, scsi_read_10(&loop, 0, 8, false)).rslt == 0);
    assert(!pv_scsiback_arm(loop.back));
    scsi_pump(&loop); /* it has been told of its first LUNs now */
    assert(!pv_scsiback_arm(loop.back));
    int fd = pv_scsiback_pollable(loop.back)->fd;
    assert(!is_readable(fd) && pv_scsiback_set_luns(loop.back, NULL, 0) == 0 && is_readable(fd));
    assert(pv_scsi_nexus_detach(loop.nexus) == -EBUSY);
    pv_scsiback_pump(loop.back, 16, 1);
    assert(loop.nexus->users == 0);
}

static void test_a_table_that_was_never_used(void)
{
    const struct pv_scsiback_lun lun = {0, 0, 0, loop.nexus};
    for (int i = 0; i < 3; i++)
        assert(pv_scsiback_set_luns(loop.back, &lun, 1) == 0);
    struct pv_vscsiif_request request = scsi_read_10(&loop, 0, 8, false);
    assert(scsi_one(&loop, request).rslt == NO_CONNECT);
    request.id = request.lun = 0;
    assert(scsi_one(&loop, request).rslt == 0);
    assert(loop.nexus->users == 1);
}

static void test_two_luns_at_one_place(void)
{
    const struct pv_scsiback_lun luns[] = {{0, 1, 2, loop.nexus}, {0, 1, 2, loop.nexus}};
    assert(pv_scsiback_set_luns(loop.back, luns, 2) == -EEXIST);
    assert(scsi_one(&loop, scsi_read_10(&loop, 0, 8, false)).rslt == 0);
    assert(loop.nexus->users == 1);
}

/* ---- Over a kill --------------------------------------------------------------------------- */

static _Alignas(PV_INFLIGHT_ALIGNMENT) uint8_t log_memory[1 << 15];
void *lost[64]; /* reachable, for the leak checker */

static void connect_with_log(void)
{
    assert(pv_scsiback_quiesce(loop.back, 1) && pv_scsiback_destroy(loop.back) == 0);
    memset(log_memory, 0, sizeof log_memory);
    loop.config.inflight = log_memory;
    loop.config.inflight_size = pv_scsiback_inflight_size(loop.config.abi);
    assert(loop.config.inflight_size <= sizeof log_memory);
    scsi_connect(&loop);
}

/* The backend is gone as a killed process is, and another takes its place. */
static void take_over(void)
{
    static unsigned count;
    lost[count++] = loop.back;
    lost[count++] = loop.unit;
    lost[count++] = loop.nexus;
    lost[count++] = loop.store;
    loop.guest.bound = false;
    loop.guest.mapped = 0;
    scsi_attach_unit(&loop, pv_ram_store_create(BLOCKS, 512));
    assert(pv_scsiback_resumable(&loop.config) == 0 && loop.guest.mapped == 0);
    struct pv_front_ring front = loop.guest.front;
    scsi_connect(&loop);
    loop.guest.front = front;
}

/* A successor does again what was not answered, under the names it had. */
static void test_identity_over_a_kill(void)
{
    struct pv_scsi_command *commands[4], *again[4];
    uint8_t identity[2][PV_SCSI_IDENTITY];
    connect_with_log();
    uint16_t rqids[3];
    for (int i = 0; i < 3; i++)
        rqids[i] = scsi_put(&loop, scsi_inquiry(&loop, 36));
    scsi_pump(&loop);
    assert(pv_scsi_unit_take(loop.unit, commands, 4) == 3);
    scsi_finish(commands[1], 0, "");
    scsi_pump(&loop);
    answered(rqids[1], 0);
    memcpy(identity[0], commands[0]->identity, PV_SCSI_IDENTITY);
    memcpy(identity[1], commands[2]->identity, PV_SCSI_IDENTITY);
    take_over();
    assert(scsi_stats(&loop).resumed == 2);
    scsi_pump(&loop);
    assert(pv_scsi_unit_take(loop.unit, again, 4) == 2);
    for (int i = 0; i < 2; i++) {
        assert(memcmp(again[i]->identity, identity[i], PV_SCSI_IDENTITY) == 0);
        scsi_finish(again[i], 0, "");
    }
    scsi_pump(&loop);
    answered(rqids[0], 0);
    answered(rqids[2], 0);
}

/* Another connection's commands have other names, though its ring begins at the same index. */
static void test_identity_of_another_connection(void)
{
    uint8_t identity[PV_SCSI_IDENTITY];
    for (int i = 0; i < 2; i++) {
        connect_with_log();
        pv_sring_init((struct pv_sring *)loop.guest.memory);
        assert(pv_scsiback_destroy(loop.back) == 0);
        memset(log_memory, 0, sizeof log_memory);
        scsi_connect(&loop);
        scsi_put(&loop, scsi_inquiry(&loop, 36));
        scsi_pump(&loop);
        struct pv_scsi_command *command = scsi_asked(&loop);
        assert(i == 0 || memcmp(identity, command->identity, PV_SCSI_IDENTITY) != 0);
        memcpy(identity, command->identity, PV_SCSI_IDENTITY);
        scsi_finish(command, 0, "");
        scsi_pump(&loop);
        assert(scsi_take(&loop, &response));
    }
}

/* A command and its ABORT are both done again, in their order. */
static void test_abort_over_a_kill(void)
{
    connect_with_log();
    uint16_t rqid = scsi_put(&loop, scsi_inquiry(&loop, 36));
    uint16_t abort = scsi_put(&loop, task_management(VSCSIIF_ACT_SCSI_ABORT, rqid));
    scsi_pump(&loop);
    take_over();
    scsi_pump(&loop);
    struct pv_scsi_command *command = scsi_asked(&loop);
    assert(pv_scsi_command_is_aborted(command));
    scsi_finish(command, ABORTED, "");
    scsi_pump(&loop);
    answered(rqid, ABORTED);
    answered(abort, VSCSIIF_RSLT_RESET_SUCCESS);
}

int main(void)
{
    void (*const tests[])(void) = {
        test_data_and_residual,
        test_more_data_than_room,
        test_sense,
        test_residual_of_a_write,
        test_no_data,
        test_both_directions,
        test_answers_overtake_each_other,
        test_the_order_of_the_ring,
        test_taken_one_by_one,
        test_abort_of_a_waiting_command,
        test_abort_twice_and_too_late,
        test_abort_before_the_unit_has_it,
        test_abort_of_a_direct_command,
        test_abort_at_another_lun,
        test_reset,
        test_reset_of_an_unknown_lun,
        test_a_lun_that_goes_ends_what_it_has,
        test_a_sleeping_queue_gives_luns_up,
        test_a_table_that_was_never_used,
        test_two_luns_at_one_place,
        test_identity_over_a_kill,
        test_identity_of_another_connection,
        test_abort_over_a_kill,
    };
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        scsi_open(&loop);
        tests[i]();
        scsi_close(&loop);
    }
    return 0;
}
